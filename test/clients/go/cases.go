package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

const (
	waitLimit = 75 * time.Second
	caseLimit = 150 * time.Second
	await     = 5 * time.Second
)

var ctx = context.Background()

type testCase struct {
	name string
	run  func()
}

var cases []testCase

func add(name string, run func()) { cases = append(cases, testCase{name, run}) }

// runAll runs the cases that $ONLY matches at once, each within its time. Returns the exit status.
func runAll() int {
	only := regexp.MustCompile("^(?:" + os.Getenv("ONLY") + ")$")
	var wait sync.WaitGroup
	status := 0
	for _, one := range cases {
		if os.Getenv("ONLY") != "" && !only.MatchString(one.name) {
			continue
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			why := make(chan string, 1)
			go func() { why <- outcome(one.run) }()
			reason := "time limit"
			select {
			case reason = <-why:
			case <-time.After(caseLimit):
			}
			if reason == "" {
				fmt.Println("ok go-grpc/" + one.name)
				return
			}
			status = 1
			fmt.Printf("FAIL go-grpc/%s: %s\n", one.name, strings.Join(strings.Fields(reason), " "))
		}()
	}
	wait.Wait()
	return status
}

func outcome(run func()) (why string) {
	defer func() {
		if problem := recover(); problem != nil {
			why = fmt.Sprint(problem)
		}
	}()
	run()
	return ""
}

func check(good bool, why string) {
	if !good {
		panic(why)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func equal(want, got any, what string) {
	check(reflect.DeepEqual(want, got), fmt.Sprintf("%s: want %v, got %v", what, want, got))
}

func until(what string, done func() bool) {
	for end := time.Now().Add(waitLimit); !done(); time.Sleep(100 * time.Millisecond) {
		check(time.Now().Before(end), "not in time: "+what)
	}
}

// list is of what listeners saw, in their order.
type list struct {
	lock  sync.Mutex
	items []string
}

func (l *list) add(item string) {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.items = append(l.items, item)
}

func (l *list) take(view *rmq.MessageView) bool {
	l.add(string(view.GetBody()))
	return true
}

func (l *list) all() []string {
	l.lock.Lock()
	defer l.lock.Unlock()
	return append([]string{}, l.items...)
}

func (l *list) sorted() []string {
	items := l.all()
	sort.Strings(items)
	return items
}

func (l *list) size() int { return len(l.all()) }

func topic(name string) string { return os.Getenv("PREFIX") + "-" + name }

func configOf(group string) *rmq.Config {
	return &rmq.Config{
		Endpoint:      os.Getenv("GRPC_ENDPOINT"),
		ConsumerGroup: group,
		Credentials:   &credentials.SessionCredentials{},
	}
}

func groupOf(name string) string { return os.Getenv("PREFIX") + "-g-" + name }

func message(name, body string) *rmq.Message {
	return &rmq.Message{Topic: topic(name), Body: []byte(body)}
}

func send(sent *rmq.Message) string {
	receipts, err := producer.Send(ctx, sent)
	must(err)
	return receipts[0].MessageID
}

func startProducer(options ...rmq.ProducerOption) rmq.Producer {
	started, err := rmq.NewProducer(configOf(""), options...)
	must(err)
	must(started.Start())
	return started
}

func checker(commits func(*rmq.MessageView) bool) rmq.ProducerOption {
	return rmq.WithTransactionChecker(&rmq.TransactionChecker{Check: func(view *rmq.MessageView) rmq.TransactionResolution {
		if commits(view) {
			return rmq.COMMIT
		}
		return rmq.ROLLBACK
	}})
}

func startPush(name string, filter *rmq.FilterExpression, consume func(*rmq.MessageView) bool) {
	startCaching(1024, name, filter, consume)
}

func startCaching(count int32, name string, filter *rmq.FilterExpression, consume func(*rmq.MessageView) bool) {
	consumer, err := rmq.NewPushConsumer(configOf(groupOf(name)),
		rmq.WithPushAwaitDuration(await),
		rmq.WithPushSubscriptionExpressions(map[string]*rmq.FilterExpression{topic(name): filter}),
		rmq.WithPushConsumptionThreadCount(20),
		rmq.WithPushMaxCacheMessageCount(count),
		rmq.WithPushMessageListener(&rmq.FuncMessageListener{Consume: func(view *rmq.MessageView) rmq.ConsumerResult {
			if consume(view) {
				return rmq.SUCCESS
			}
			return rmq.FAILURE
		}}))
	must(err)
	must(consumer.Start())
}

func simple(name string) rmq.SimpleConsumer {
	consumer, err := rmq.NewSimpleConsumer(configOf(groupOf(name)),
		rmq.WithSimpleAwaitDuration(await),
		rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{topic(name): rmq.SUB_ALL}))
	must(err)
	must(consumer.Start())
	return consumer
}

// receive asks until there is something, at most 8 times; having found nothing is an error to this client.
func receive(consumer rmq.SimpleConsumer, invisible time.Duration) []*rmq.MessageView {
	for tries := 0; tries < 8; tries++ {
		if views, _ := consumer.Receive(ctx, 8, invisible); len(views) > 0 {
			return views
		}
	}
	return nil
}
