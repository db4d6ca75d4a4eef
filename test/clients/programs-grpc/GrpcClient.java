import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import org.apache.rocketmq.client.apis.*;
import org.apache.rocketmq.client.apis.consumer.*;
import org.apache.rocketmq.client.apis.message.*;
import org.apache.rocketmq.client.apis.producer.*;

/** Apache's Java client for gRPC, unmodified and with TLS, its default. Topics and groups $PREFIX-* are those of topics.txt. */
public final class GrpcClient {
    interface Listener { boolean consume(MessageView view) throws Exception; }
    static final ClientServiceProvider PROVIDER = ClientServiceProvider.loadService();
    static final String PREFIX = H.env("PREFIX", "");
    static final ClientConfiguration TLS = configuration(true);
    static Producer producer;

    static ClientConfiguration configuration(boolean tls) {
        return ClientConfiguration.newBuilder().setEndpoints(H.GRPC).enableSsl(tls).setRequestTimeout(Duration.ofSeconds(8)).build();
    }
    static String t(String name) { return PREFIX + "-" + name; }
    static String g(String name) { return PREFIX + "-g-" + name; }
    static MessageBuilder message(String topic, String body) {
        return PROVIDER.newMessageBuilder().setTopic(t(topic)).setBody(body.getBytes(StandardCharsets.UTF_8));
    }
    static String text(MessageView view) { return StandardCharsets.UTF_8.decode(view.getBody()).toString(); }
    static PushConsumer push(String name, FilterExpression filter, Listener listener) throws Exception {
        return H.later(PROVIDER.newPushConsumerBuilder().setClientConfiguration(TLS).setConsumerGroup(g(name))
            .setSubscriptionExpressions(Map.of(t(name), filter))
            .setMessageListener(view -> {
                try { return listener.consume(view) ? ConsumeResult.SUCCESS : ConsumeResult.FAILURE; }
                catch (Exception e) { return ConsumeResult.FAILURE; }
            }).build());
    }
    static PushConsumer collect(String name, FilterExpression filter, Set<String> bodies) throws Exception {
        return push(name, filter, view -> { bodies.add(text(view)); return true; });
    }
    static SimpleConsumer simple(String name) throws Exception {
        return H.later(PROVIDER.newSimpleConsumerBuilder().setClientConfiguration(TLS).setConsumerGroup(g(name))
            .setAwaitDuration(Duration.ofSeconds(5)).setSubscriptionExpressions(Map.of(t(name), FilterExpression.SUB_ALL)).build());
    }
    static List<MessageView> receive(SimpleConsumer consumer, int tries, Duration invisible) throws Exception {
        for (int i = 0; i < tries; i++) {
            List<MessageView> views = consumer.receive(8, invisible);
            if (!views.isEmpty()) return views;
        }
        return List.of();
    }
    static void refused(String what, String expected, Callable<?> send) {
        Object answer;
        try { answer = send.call(); }
        catch (Throwable e) { H.check(String.valueOf(e).contains(expected), what + ": an unclear error: " + e); return; }
        throw new AssertionError(what + " was accepted: " + answer);
    }
    static Set<String> strings() { return ConcurrentHashMap.newKeySet(); }

    public static void main(String[] args) throws Exception {
        H.lang = "java-grpc";
        // With a topic, so that its settings are exchanged before the cases begin: first sends to several topics at once would
        // write them to the telemetry stream together, which the client does without a lock, and now and then a frame is torn.
        producer = H.later(PROVIDER.newProducerBuilder().setClientConfiguration(TLS).setTopics(t("send")).build());
        sending();
        filters();
        fifo();
        delays();
        transactions();
        retries();
        simpleConsumer();
        H.runAll(16);
    }

    static void sending() {
        H.add("send", 60, () -> {
            Set<String> ids = new HashSet<>();
            for (int i = 0; i < 10; i++) ids.add(producer.send(message("send", "m" + i).build()).getMessageId().toString());
            List<CompletableFuture<SendReceipt>> futures = new ArrayList<>();
            for (int i = 0; i < 30; i++) futures.add(producer.sendAsync(message("send", "a" + i).build()));
            for (CompletableFuture<SendReceipt> future : futures) ids.add(future.get().getMessageId().toString());
            H.eq(40, ids.size(), "distinct ids");
        });
        H.add("push", 60, () -> {
            Map<String, MessageView> seen = new ConcurrentHashMap<>();
            push("push", FilterExpression.SUB_ALL, view -> { seen.put(text(view), view); return true; });
            Map<String, String> ids = new HashMap<>();
            for (int i = 0; i < 40; i++) {
                Message sent = message("push", "m" + i).setTag("täg" + i % 3).setKeys("key" + i, "zwei").addProperty("ключ", "знач " + i).build();
                ids.put("m" + i, producer.send(sent).getMessageId().toString());
            }
            H.until(40, "40 messages", () -> seen.size() == 40);
            for (int i = 0; i < 40; i++) {
                MessageView view = seen.get("m" + i);
                H.eq("täg" + i % 3, view.getTag().orElse(null), "tag");
                H.eq(Set.of("key" + i, "zwei"), new HashSet<>(view.getKeys()), "keys");
                H.eq(Map.of("ключ", "знач " + i), view.getProperties(), "properties");
                H.eq(1, view.getDeliveryAttempt(), "attempt");
                H.eq(ids.get("m" + i), view.getMessageId().toString(), "message id");
                H.check(Math.abs(view.getBornTimestamp() - System.currentTimeMillis()) < 90_000, "born timestamp");
                H.check(!view.getBornHost().isEmpty(), "born host");
            }
        });
        H.add("plain-text", 60, () -> {
            ClientConfiguration plain = configuration(false);
            Producer sender = H.later(PROVIDER.newProducerBuilder().setClientConfiguration(plain).setTopics(t("plain")).build());
            SimpleConsumer consumer = H.later(PROVIDER.newSimpleConsumerBuilder().setClientConfiguration(plain).setConsumerGroup(g("plain"))
                .setAwaitDuration(Duration.ofSeconds(5)).setSubscriptionExpressions(Map.of(t("plain"), FilterExpression.SUB_ALL)).build());
            byte[] body = new byte[1 << 20];
            new Random(1).nextBytes(body);
            sender.send(PROVIDER.newMessageBuilder().setTopic(t("plain")).setBody(body).build());
            List<MessageView> views = receive(consumer, 6, Duration.ofSeconds(20));
            H.eq(1, views.size(), "messages");
            H.check(ByteBuffer.wrap(body).equals(views.get(0).getBody()), "the body differs");
            consumer.ack(views.get(0));
        });
        H.add("refusals", 60, () -> {
            refused("an unknown topic", "40402", () -> producer.send(message("nosuch", "x").build()));
            refused("a FIFO message to a NORMAL topic", "", () -> producer.send(message("mismatch", "x").setMessageGroup("g").build()));
            byte[] large = new byte[(4 << 20) + 1];
            refused("a body of 4 MiB and 1 byte", "", () -> producer.send(PROVIDER.newMessageBuilder().setTopic(t("send")).setBody(large).build()));
        });
    }

    static void filters() {
        H.add("tag-filter", 60, () -> {
            Set<String> seen = strings();
            collect("tag", new FilterExpression("a || b"), seen);
            for (String tag : List.of("a", "b", "c", "ab", "a")) producer.send(message("tag", tag).setTag(tag).build());
            producer.send(message("tag", "none").build());
            H.until(40, "a and b", () -> seen.size() >= 2);
            Thread.sleep(1500);
            H.eq(Set.of("a", "b"), seen, "messages");
        });
        H.add("sql92-filter", 60, () -> {
            Set<String> seen = strings(), wanted = new HashSet<>();
            collect("sql", new FilterExpression("a > 4 AND region IN ('eu', 'us')", FilterExpressionType.SQL92), seen);
            for (int i = 0; i < 20; i++) {
                String region = List.of("eu", "us", "cn").get(i % 3);
                producer.send(message("sql", "m" + i).addProperty("a", String.valueOf(i % 10)).addProperty("region", region).build());
                if (i % 10 > 4 && i % 3 < 2) wanted.add("m" + i);
            }
            H.until(40, "all that match", () -> seen.size() >= wanted.size());
            Thread.sleep(1500);
            H.eq(wanted, seen, "messages");
        });
    }

    static void fifo() {
        H.add("fifo", 60, () -> {
            Map<String, List<Integer>> seen = new ConcurrentHashMap<>();
            AtomicInteger count = new AtomicInteger();
            push("fifo", FilterExpression.SUB_ALL, view -> {
                String[] parts = text(view).split(":");
                H.eq(parts[0], view.getMessageGroup().orElse(null), "message group");
                seen.computeIfAbsent(parts[0], key -> Collections.synchronizedList(new ArrayList<>())).add(Integer.valueOf(parts[1]));
                count.incrementAndGet();
                return true;
            });
            for (int i = 0; i < 12; i++) {
                for (int group = 0; group < 4; group++) producer.send(message("fifo", "g" + group + ":" + i).setMessageGroup("g" + group).build());
            }
            H.until(45, "48 messages", () -> count.get() >= 48);
            for (List<Integer> order : seen.values()) H.eq(List.of(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), order, "order");
        });
        H.add("fifo-retry-keeps-order", 60, () -> {
            List<String> seen = Collections.synchronizedList(new ArrayList<>());
            List<Integer> attempts = Collections.synchronizedList(new ArrayList<>());
            push("fiforetry", FilterExpression.SUB_ALL, view -> {
                seen.add(text(view));
                if (text(view).equals("x1")) attempts.add(view.getDeliveryAttempt());
                return !text(view).equals("x1") || Collections.frequency(seen, "x1") >= 3;
            });
            for (int i = 0; i < 3; i++) producer.send(message("fiforetry", "x" + i).setMessageGroup("one").build());
            H.until(45, "x2", () -> seen.contains("x2"));
            H.eq(List.of("x0", "x1", "x1", "x1", "x2"), seen, "order with retries");
            H.eq(List.of(1, 2, 3), attempts, "attempts");
        });
    }

    static void delays() {
        H.add("delay", 60, () -> {
            AtomicLong arrived = new AtomicLong();
            push("delay", FilterExpression.SUB_ALL, view -> { arrived.compareAndSet(0, System.currentTimeMillis()); return true; });
            Thread.sleep(3000);
            long due = System.currentTimeMillis() + 5000;
            producer.send(message("delay", "d").setDeliveryTimestamp(due).build());
            H.until(40, "the delayed message", () -> arrived.get() > 0);
            long lateMs = arrived.get() - due;
            H.check(lateMs > -1300 && lateMs < 8000, "it came " + lateMs + " ms after its time");
        });
        H.add("recall", 60, () -> {
            Set<String> seen = strings();
            collect("recall", FilterExpression.SUB_ALL, seen);
            long due = System.currentTimeMillis() + 10_000;
            SendReceipt gone = producer.send(message("recall", "gone").setDeliveryTimestamp(due).build());
            producer.send(message("recall", "kept").setDeliveryTimestamp(due).build());
            RecallReceipt receipt = producer.recallMessage(t("recall"), gone.getRecallHandle());
            H.eq(gone.getMessageId().toString(), receipt.getMessageId().toString(), "recalled id");
            H.until(40, "the other", () -> seen.contains("kept"));
            Thread.sleep(2500);
            H.check(!seen.contains("gone"), "the recalled message was delivered");
        });
    }

    static Producer transactional(String topic, AtomicInteger checks) throws Exception {
        return H.later(PROVIDER.newProducerBuilder().setClientConfiguration(TLS).setTopics(t(topic)).setTransactionChecker(view -> {
            checks.incrementAndGet();
            return text(view).startsWith("yes") ? TransactionResolution.COMMIT : TransactionResolution.ROLLBACK;
        }).build());
    }
    static void transactions() {
        H.add("tx-commit-rollback", 60, () -> {
            Set<String> seen = strings();
            Producer sender = transactional("tx", new AtomicInteger());
            collect("tx", FilterExpression.SUB_ALL, seen);
            for (int i = 0; i < 6; i++) {
                Transaction transaction = sender.beginTransaction();
                sender.send(message("tx", "x" + i).setKeys("k").build(), transaction);
                if (i % 2 == 0) transaction.commit(); else transaction.rollback();
            }
            H.until(40, "3 messages", () -> seen.size() >= 3);
            Thread.sleep(2000);
            H.eq(Set.of("x0", "x2", "x4"), seen, "delivered");
        });
        H.add("tx-check", 110, () -> {
            Set<String> seen = strings();
            AtomicInteger checks = new AtomicInteger();
            Producer sender = transactional("txcheck", checks);
            collect("txcheck", FilterExpression.SUB_ALL, seen);
            for (String body : List.of("yes", "no")) sender.send(message("txcheck", body).build(), sender.beginTransaction());
            Thread.sleep(1500);
            H.eq(Set.of(), seen, "undecided messages delivered");
            H.until(100, "the check-back of both", () -> seen.contains("yes") && checks.get() >= 2);
            Thread.sleep(1500);
            H.eq(Set.of("yes"), seen, "delivered");
        });
    }

    static void retries() {
        H.add("retry-attempts", 60, () -> {
            List<Integer> attempts = Collections.synchronizedList(new ArrayList<>());
            Set<String> ids = strings();
            push("retry", FilterExpression.SUB_ALL, view -> {
                attempts.add(view.getDeliveryAttempt());
                ids.add(view.getMessageId().toString());
                return attempts.size() > 3;
            });
            producer.send(message("retry", "x").build());
            H.until(50, "4 attempts", () -> attempts.size() >= 4);
            H.eq(List.of(1, 2, 3, 4), attempts, "attempts");
            H.eq(1, ids.size(), "ids");
        });
        H.add("dlq-stops-redelivery", 60, () -> {
            AtomicInteger count = new AtomicInteger();
            push("dlq", FilterExpression.SUB_ALL, view -> { count.incrementAndGet(); return false; });
            producer.send(message("dlq", "dead").build());
            H.until(40, "2 deliveries", () -> count.get() >= 2);
            Thread.sleep(8000);
            H.eq(2, count.get(), "deliveries with one retry");
        });
    }

    static void simpleConsumer() {
        H.add("simple-ack", 60, () -> {
            SimpleConsumer consumer = simple("simple");
            Set<String> seen = new HashSet<>();
            for (int i = 0; i < 10; i++) producer.send(message("simple", "x" + i).build());
            for (int i = 0; i < 20 && seen.size() < 10; i++) {
                for (MessageView view : consumer.receive(8, Duration.ofSeconds(10))) {
                    H.check(seen.add(text(view)), "twice: " + text(view));
                    consumer.ack(view);
                }
            }
            H.eq(10, seen.size(), "received");
            Thread.sleep(10_500);
            H.eq(List.of(), receive(consumer, 2, Duration.ofSeconds(10)), "acknowledged messages seen again");
        });
        H.add("change-invisible", 60, () -> {
            SimpleConsumer consumer = simple("invis");
            producer.send(message("invis", "x").build());
            List<MessageView> first = receive(consumer, 6, Duration.ofSeconds(60));
            H.eq(1, first.size(), "received");
            long changed = System.currentTimeMillis();
            consumer.changeInvisibleDuration(first.get(0), Duration.ofSeconds(10));
            List<MessageView> again = receive(consumer, 6, Duration.ofSeconds(20));
            long afterMs = System.currentTimeMillis() - changed;
            H.eq(1, again.size(), "received again");
            H.check(afterMs > 8500 && afterMs < 25_000, "visible again after " + afterMs + " ms (10 s asked)");
            H.eq(2, again.get(0).getDeliveryAttempt(), "attempt");
            consumer.ack(again.get(0));
        });
    }
}
