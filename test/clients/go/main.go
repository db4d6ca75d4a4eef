// Apache's Go client for gRPC, unmodified. Topics and groups $PREFIX-* are those of ../programs-grpc/topics.txt; the client
// speaks TLS unless its own variable rocketmq.client.enableSsl says no.
package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

var producer rmq.Producer

func main() {
	rmq.ResetLogger()
	// Without a topic this client waits for its settings for ever.
	producer = startProducer(rmq.WithTopics(topic("send")))
	add("plain-text", largeBody)
	add("send", sending)
	add("push", push)
	add("tag-filter", tagFilter)
	add("sql92-filter", sqlFilter)
	add("fifo", fifo)
	add("fifo-retry-keeps-order", fifoRetry)
	add("delay", delay)
	add("recall", recall)
	add("tx-commit-rollback", transactions)
	add("tx-check", transactionCheck)
	add("retry-attempts", retryAttempts)
	add("dlq-stops-redelivery", deadLetters)
	add("simple-ack", simpleAck)
	add("change-invisible", changeInvisible)
	add("refusals", refusals)
	os.Exit(runAll())
}

func largeBody() {
	body := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(body)
	receipts, err := producer.Send(ctx, &rmq.Message{Topic: topic("plain"), Body: body})
	must(err)
	consumer := simple("plain")
	views := receive(consumer, 20*time.Second)
	equal(1, len(views), "messages")
	equal(receipts[0].MessageID, views[0].GetMessageId(), "message id")
	check(bytes.Equal(body, views[0].GetBody()), "the body differs")
	must(consumer.Ack(ctx, views[0]))
}

func sending() {
	ids := map[string]bool{}
	for i := 0; i < 10; i++ {
		ids[send(message("send", fmt.Sprint("m", i)))] = true
	}
	var wait sync.WaitGroup
	var lock sync.Mutex
	for i := 0; i < 30; i++ {
		wait.Add(1)
		producer.SendAsync(ctx, message("send", fmt.Sprint("a", i)), func(_ context.Context, receipts []*rmq.SendReceipt, err error) {
			defer wait.Done()
			lock.Lock()
			defer lock.Unlock()
			if err == nil {
				ids[receipts[0].MessageID] = true
			}
		})
	}
	wait.Wait()
	equal(40, len(ids), "distinct ids")
}

func push() {
	var views sync.Map
	var count atomic.Int32
	startPush("push", rmq.SUB_ALL, func(view *rmq.MessageView) bool {
		if _, twice := views.LoadOrStore(string(view.GetBody()), view); !twice {
			count.Add(1)
		}
		return true
	})
	ids := map[string]string{}
	for i := 0; i < 40; i++ {
		sent := message("push", fmt.Sprint("m", i))
		sent.SetTag("täg")
		sent.SetKeys(fmt.Sprint("key", i), "zwei")
		sent.AddProperty("ключ", fmt.Sprint("знач ", i))
		ids[fmt.Sprint("m", i)] = send(sent)
	}
	until("40 messages", func() bool { return count.Load() == 40 })
	views.Range(func(body, value any) bool {
		view := value.(*rmq.MessageView)
		number := strings.TrimPrefix(body.(string), "m")
		equal("täg", *view.GetTag(), "tag")
		equal([]string{"key" + number, "zwei"}, view.GetKeys(), "keys")
		equal("знач "+number, view.GetProperties()["ключ"], "property")
		equal(int32(1), view.GetDeliveryAttempt(), "attempt")
		equal(ids[body.(string)], view.GetMessageId(), "message id")
		return true
	})
}

func tagFilter() {
	var seen list
	startPush("tag", rmq.NewFilterExpression("a || b"), seen.take)
	for _, tag := range []string{"a", "b", "c", "ab"} {
		sent := message("tag", tag)
		sent.SetTag(tag)
		send(sent)
	}
	send(message("tag", "none"))
	until("a and b", func() bool { return seen.size() >= 2 })
	time.Sleep(1500 * time.Millisecond)
	equal([]string{"a", "b"}, seen.sorted(), "messages")
}

func sqlFilter() {
	var seen list
	expression := rmq.NewFilterExpressionWithType("a > 4 AND region IN ('eu', 'us')", rmq.SQL92)
	startPush("sql", expression, seen.take)
	var wanted []string
	for i := 0; i < 20; i++ {
		sent := message("sql", fmt.Sprint("m", i))
		sent.AddProperty("a", fmt.Sprint(i%10))
		sent.AddProperty("region", []string{"eu", "us", "cn"}[i%3])
		send(sent)
		if i%10 > 4 && i%3 < 2 {
			wanted = append(wanted, fmt.Sprint("m", i))
		}
	}
	sort.Strings(wanted)
	until("all that match", func() bool { return seen.size() >= len(wanted) })
	time.Sleep(1500 * time.Millisecond)
	equal(wanted, seen.sorted(), "messages")
}

func fifo() {
	groups := map[string]*list{"g0": {}, "g1": {}, "g2": {}, "g3": {}}
	var count atomic.Int32
	startPush("fifo", rmq.SUB_ALL, func(view *rmq.MessageView) bool {
		groups[*view.GetMessageGroup()].take(view)
		count.Add(1)
		return true
	})
	var wanted []string
	for i := 0; i < 12; i++ {
		wanted = append(wanted, fmt.Sprint(i))
		for group := range groups {
			sent := message("fifo", fmt.Sprint(i))
			sent.SetMessageGroup(group)
			send(sent)
		}
	}
	until("48 messages", func() bool { return count.Load() >= 48 })
	for group, seen := range groups {
		equal(wanted, seen.all(), "order of "+group)
	}
}

// Of several messages that it has at once this client consumes the next while one waits for its retry, whatever server it
// is with: fifoConsumeService.consumeIteratively does not wait for eraseFifoMessage. So it may have but one.
func fifoRetry() {
	var seen, attempts list
	startCaching(1, "fiforetry", rmq.SUB_ALL, func(view *rmq.MessageView) bool {
		seen.take(view)
		body := string(view.GetBody())
		if body == "x1" {
			attempts.add(fmt.Sprint(view.GetDeliveryAttempt()))
		}
		return body != "x1" || attempts.size() >= 3
	})
	for i := 0; i < 3; i++ {
		sent := message("fiforetry", fmt.Sprint("x", i))
		sent.SetMessageGroup("one")
		send(sent)
	}
	until("x2", func() bool { return seen.size() >= 5 })
	equal([]string{"x0", "x1", "x1", "x1", "x2"}, seen.all(), "order with retries")
	equal([]string{"1", "2", "3"}, attempts.all(), "attempts")
}

func delay() {
	var arrived atomic.Int64
	startPush("delay", rmq.SUB_ALL, func(*rmq.MessageView) bool {
		arrived.CompareAndSwap(0, time.Now().UnixMilli())
		return true
	})
	time.Sleep(3 * time.Second)
	due := time.Now().Add(5 * time.Second)
	sent := message("delay", "d")
	sent.SetDelayTimestamp(due)
	send(sent)
	until("the delayed message", func() bool { return arrived.Load() > 0 })
	lateMs := arrived.Load() - due.UnixMilli()
	check(lateMs > -1300 && lateMs < 8000, fmt.Sprint("it came ", lateMs, " ms after its time"))
}

func recall() {
	var seen list
	startPush("recall", rmq.SUB_ALL, seen.take)
	due := time.Now().Add(10 * time.Second)
	gone, kept := message("recall", "gone"), message("recall", "kept")
	gone.SetDelayTimestamp(due)
	kept.SetDelayTimestamp(due)
	receipts, err := producer.Send(ctx, gone)
	must(err)
	send(kept)
	id, err := producer.Recall(ctx, topic("recall"), receipts[0].RecallHandle)
	must(err)
	equal(receipts[0].MessageID, id, "recalled id")
	until("the other", func() bool { return seen.size() > 0 })
	time.Sleep(2500 * time.Millisecond)
	equal([]string{"kept"}, seen.all(), "messages")
}

func transactions() {
	var seen list
	startPush("tx", rmq.SUB_ALL, seen.take)
	sender := startProducer(rmq.WithTopics(topic("tx")), checker(func(*rmq.MessageView) bool { return false }))
	for i := 0; i < 6; i++ {
		transaction := sender.BeginTransaction()
		_, err := sender.SendWithTransaction(ctx, message("tx", fmt.Sprint("x", i)), transaction)
		must(err)
		if i%2 == 0 {
			must(transaction.Commit())
		} else {
			must(transaction.RollBack())
		}
	}
	until("3 messages", func() bool { return seen.size() >= 3 })
	time.Sleep(2 * time.Second)
	equal([]string{"x0", "x2", "x4"}, seen.sorted(), "delivered")
}

func transactionCheck() {
	var seen, asked list
	startPush("txcheck", rmq.SUB_ALL, seen.take)
	sender := startProducer(rmq.WithTopics(topic("txcheck")), checker(func(view *rmq.MessageView) bool {
		asked.take(view)
		return string(view.GetBody()) == "yes"
	}))
	for _, body := range []string{"yes", "no"} {
		_, err := sender.SendWithTransaction(ctx, message("txcheck", body), sender.BeginTransaction())
		must(err)
	}
	until("both are checked", func() bool { return asked.size() >= 2 && seen.size() >= 1 })
	time.Sleep(2 * time.Second)
	equal([]string{"yes"}, seen.all(), "delivered")
}

func retryAttempts() {
	var attempts list
	startPush("retry", rmq.SUB_ALL, func(view *rmq.MessageView) bool {
		attempts.add(fmt.Sprint(view.GetDeliveryAttempt()))
		return attempts.size() > 3
	})
	send(message("retry", "x"))
	until("4 attempts", func() bool { return attempts.size() >= 4 })
	equal([]string{"1", "2", "3", "4"}, attempts.all(), "attempts")
}

func deadLetters() {
	var seen list
	startPush("dlq", rmq.SUB_ALL, func(view *rmq.MessageView) bool { return !seen.take(view) })
	send(message("dlq", "dead"))
	until("2 deliveries", func() bool { return seen.size() >= 2 })
	time.Sleep(8 * time.Second)
	equal(2, seen.size(), "deliveries of a group with one retry")
}

func simpleAck() {
	consumer := simple("simple")
	for i := 0; i < 10; i++ {
		send(message("simple", fmt.Sprint("s", i)))
	}
	seen := map[string]bool{}
	for tries := 0; tries < 20 && len(seen) < 10; tries++ {
		for _, view := range receive(consumer, 10*time.Second) {
			check(!seen[string(view.GetBody())], "twice: "+string(view.GetBody()))
			seen[string(view.GetBody())] = true
			must(consumer.Ack(ctx, view))
		}
	}
	equal(10, len(seen), "received")
	time.Sleep(11 * time.Second)
	again, _ := consumer.Receive(ctx, 8, 10*time.Second)
	equal(0, len(again), "messages after their acknowledgement")
}

func changeInvisible() {
	consumer := simple("invis")
	send(message("invis", "x"))
	views := receive(consumer, 60*time.Second)
	equal(1, len(views), "received")
	start := time.Now()
	must(consumer.ChangeInvisibleDuration(views[0], 10*time.Second))
	again := receive(consumer, 20*time.Second)
	equal(1, len(again), "received again")
	took := time.Since(start)
	check(took > 8500*time.Millisecond && took < 25*time.Second, fmt.Sprint("visible again after ", took))
	equal(int32(2), again[0].GetDeliveryAttempt(), "attempt")
	must(consumer.Ack(ctx, again[0]))
}

func refusals() {
	_, err := producer.Send(ctx, message("nosuch", "x"))
	check(err != nil, "an unknown topic was accepted")
	grouped := message("mismatch", "x")
	grouped.SetMessageGroup("g")
	_, err = producer.Send(ctx, grouped)
	check(err != nil, "a FIFO message was accepted by a NORMAL topic")
}
