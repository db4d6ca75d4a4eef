import java.nio.ByteBuffer;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.*;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.*;
import org.apache.rocketmq.remoting.exception.RemotingException;

/**
 * Bulk COUNT: sends COUNT messages of 1 KB from several threads while a push consumer reads, then judges what arrived:
 * every message is there with the bytes it was sent with, each queue's offsets are 0, 1, 2, … without a gap, and in the
 * order of those offsets every sender's messages are in the order in which they were sent. A send that fails is repeated,
 * so a message may lie in a queue twice; its first place counts, and how many there are is said, as are second deliveries. Prints one verdict line.
 *
 * Body: sender (int), number within the sender and queue (int), number of all (int), then bytes made from that last number.
 */
public final class Bulk {
    static final int BODY_BYTES = 1024, HEAD_BYTES = 12, SENDERS = 4, QUEUES = 8, TRIES = 20, QUIET_SECONDS = 60;

    /** What a queue held at one offset. */
    record Arrival(int sender, int sequence, int number) { }

    static final List<ConcurrentSkipListMap<Long, Arrival>> ARRIVED = new ArrayList<>();
    static final Set<Integer> NUMBERS = ConcurrentHashMap.newKeySet();
    static final Queue<String> BROKEN = new ConcurrentLinkedQueue<>();
    static final AtomicInteger DELIVERED_AGAIN = new AtomicInteger(), REPEATED_SENDS = new AtomicInteger();
    static final AtomicLong LAST_ARRIVAL = new AtomicLong(System.nanoTime());

    public static void main(String[] args) throws Exception {
        int count = Integer.parseInt(args[0]);
        for (int q = 0; q < QUEUES; q++) ARRIVED.add(new ConcurrentSkipListMap<>());
        DefaultMQProducer producer = new DefaultMQProducer("bulk-" + H.RUN + "-p");
        producer.setNamesrvAddr(H.NS); producer.setSendMsgTimeout(5000); producer.start();
        String topic = "bulk-" + H.RUN;
        String fault = null, figures = "";
        try {
            List<MessageQueue> queues = createTopic(producer, topic);
            DefaultMQPushConsumer consumer = consumer(topic);
            long startNanos = System.nanoTime();
            sendAll(producer, topic, queues, count);
            double sentSeconds = (System.nanoTime() - startNanos) / 1e9;
            awaitArrivals(count);
            double readSeconds = (LAST_ARRIVAL.get() - startNanos) / 1e9;
            Thread.sleep(500); // late second deliveries
            consumer.shutdown();
            fault = judge(producer, queues, count);
            figures = String.format(Locale.ROOT, "sent in %.1f s, read by %.1f s", sentSeconds, readSeconds);
        } catch (Throwable e) {
            fault = String.valueOf(e);
        }
        int stored = ARRIVED.stream().mapToInt(Map::size).sum();
        System.out.println((fault == null ? "ok" : "FAIL") + " bulk/push-" + count + ": " + (fault == null ? "" : fault + "; ") + NUMBERS.size() + " of " + count + " messages of "
            + BODY_BYTES + " bytes there, " + (stored - NUMBERS.size()) + " stored twice, " + DELIVERED_AGAIN + " delivered twice, " + REPEATED_SENDS + " sends repeated" + (figures.isEmpty() ? "" : "; " + figures));
        System.out.flush();
        Runtime.getRuntime().halt(fault == null ? 0 : 1);
    }

    static List<MessageQueue> createTopic(DefaultMQProducer producer, String topic) throws Exception {
        Shim.topic(producer, H.BROKER, topic, QUEUES);
        for (int tries = 0; ; tries++) {
            try {
                List<MessageQueue> queues = producer.fetchPublishMessageQueues(topic);
                if (queues.size() == QUEUES) return queues;
            } catch (MQClientException e) {
                if (tries == 100) throw e;
            }
            if (tries > 100) throw new IllegalStateException("the route of " + topic + " never had " + QUEUES + " queues");
            Thread.sleep(100);
        }
    }

    static DefaultMQPushConsumer consumer(String topic) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("bulk-" + H.RUN + "-c");
        consumer.setNamesrvAddr(H.NS); consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(2); consumer.setConsumeThreadMax(2); consumer.setConsumeMessageBatchMaxSize(32);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) take(message);
            LAST_ARRIVAL.set(System.nanoTime());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    static byte[] body(int sender, int sequence, int number) {
        ByteBuffer body = ByteBuffer.allocate(BODY_BYTES).putInt(sender).putInt(sequence).putInt(number);
        for (int i = HEAD_BYTES, value = number; i < BODY_BYTES; i++, value = value * 31 + 7) body.put((byte) (value >>> 8));
        return body.array();
    }

    static void take(MessageExt message) {
        String where = "queue " + message.getQueueId() + " offset " + message.getQueueOffset();
        if (message.getBody().length != BODY_BYTES) { BROKEN.add(where + " has a body of " + message.getBody().length + " bytes"); return; }
        ByteBuffer head = ByteBuffer.wrap(message.getBody());
        Arrival arrival = new Arrival(head.getInt(), head.getInt(), head.getInt());
        if (!Arrays.equals(message.getBody(), body(arrival.sender, arrival.sequence, arrival.number))) BROKEN.add(where + " has other bytes than were sent");
        if (!("k" + arrival.number).equals(message.getKeys())) BROKEN.add(where + " has the keys " + message.getKeys());
        Arrival before = ARRIVED.get(message.getQueueId()).putIfAbsent(message.getQueueOffset(), arrival);
        if (before != null && !before.equals(arrival)) BROKEN.add(where + " held two different messages");
        if (before != null) DELIVERED_AGAIN.incrementAndGet();
        NUMBERS.add(arrival.number);
    }

    static void sendAll(DefaultMQProducer producer, String topic, List<MessageQueue> queues, int count) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(SENDERS);
        List<Future<?>> senders = new ArrayList<>();
        for (int s = 0; s < SENDERS; s++) {
            int sender = s;
            senders.add(pool.submit(() -> {
                int turn = 0;
                for (int number = sender; number < count; number += SENDERS, turn++) {
                    Message message = new Message(topic, "bulk", "k" + number, body(sender, turn / QUEUES, number));
                    send(producer, message, queues.get(turn % QUEUES));
                }
                return null;
            }));
        }
        try {
            for (Future<?> sender : senders) sender.get();
        } finally {
            pool.shutdownNow();
        }
    }

    /** Repeats what failed: the next message of this sender must not overtake it. */
    static void send(DefaultMQProducer producer, Message message, MessageQueue queue) throws Exception {
        for (int tries = 1; ; tries++) {
            try {
                SendStatus status = producer.send(message, queue).getSendStatus();
                if (status != SendStatus.SEND_OK) throw new IllegalStateException("send status " + status);
                return;
            } catch (MQBrokerException | RemotingException e) {
                if (tries == TRIES) throw e;
                REPEATED_SENDS.incrementAndGet();
                Thread.sleep(50L * tries);
            }
        }
    }

    static void awaitArrivals(int count) throws InterruptedException {
        LAST_ARRIVAL.accumulateAndGet(System.nanoTime(), Math::max); // the quiet time begins when all is sent
        while (NUMBERS.size() < count && System.nanoTime() - LAST_ARRIVAL.get() < QUIET_SECONDS * 1_000_000_000L) Thread.sleep(50);
    }

    /** The first thing that is wrong, or null. */
    static String judge(DefaultMQProducer producer, List<MessageQueue> queues, int count) throws Exception {
        if (!BROKEN.isEmpty()) return BROKEN.size() + " broken, the first: " + BROKEN.peek();
        if (NUMBERS.size() != count) return (count - NUMBERS.size()) + " lost, the first: number " + firstLost(count);
        for (MessageQueue queue : queues) {
            ConcurrentSkipListMap<Long, Arrival> arrivals = ARRIVED.get(queue.getQueueId());
            long expected = 0;
            int[] next = new int[SENDERS];
            for (Map.Entry<Long, Arrival> entry : arrivals.entrySet()) {
                Arrival arrival = entry.getValue();
                String where = "queue " + queue.getQueueId() + " offset " + entry.getKey();
                if (entry.getKey() != expected++) return where + " comes where " + (expected - 1) + " was due";
                if (arrival.sequence > next[arrival.sender]) return where + " holds sender " + arrival.sender + "'s message " + arrival.sequence + " before its " + next[arrival.sender];
                if (arrival.sequence == next[arrival.sender]) next[arrival.sender]++;
            }
            long max = producer.maxOffset(queue);
            if (max != expected) return "queue " + queue.getQueueId() + " has max offset " + max + " and delivered " + expected;
        }
        return null;
    }

    static int firstLost(int count) {
        int number = 0;
        while (number < count && NUMBERS.contains(number)) number++;
        return number;
    }
}
