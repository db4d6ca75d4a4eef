import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.*;
import org.apache.rocketmq.client.producer.*;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.*;

/**
 * Tls NAME in|out|live: Apache's client with the TLS that -D tells it. `in` sends and consumes, `out` is let in nowhere,
 * `live` sends and consumes until a line comes in on stdin, and nothing may fail or be missing.
 */
public final class Tls {
    static final String TOPIC = "tls-" + H.RUN;

    static DefaultMQProducer producer() throws Exception {
        DefaultMQProducer p = new DefaultMQProducer("tls-" + H.RUN + "-p");
        p.setNamesrvAddr(H.NS); p.setSendMsgTimeout(5000); p.setRetryTimesWhenSendFailed(0); p.setInstanceName(UUID.randomUUID().toString());
        p.start(); H.later(p::shutdown); return p;
    }
    static Set<String> consumed() throws Exception {
        Set<String> got = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer c = new DefaultMQPushConsumer("tls-" + H.RUN + "-c");
        c.setNamesrvAddr(H.NS); c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET); c.subscribe(TOPIC, "*");
        c.registerMessageListener((MessageListenerConcurrently) (ms, x) -> { for (MessageExt m : ms) got.add(new String(m.getBody())); return ConsumeConcurrentlyStatus.CONSUME_SUCCESS; });
        c.start(); H.later(c::shutdown); return got;
    }
    static void send(DefaultMQProducer p, String body) throws Exception { H.eq(SendStatus.SEND_OK, p.send(new Message(TOPIC, body.getBytes())).getSendStatus(), "send"); }

    public static void main(String[] args) throws Exception {
        H.lang = "tls";
        switch (args[1]) {
            case "out" -> H.add(args[0], 60, () -> {
                SendResult sent;
                try { sent = producer().send(new Message(TOPIC, new byte[1])); } catch (Exception expected) { return; }
                throw new AssertionError("let in: " + sent);
            });
            case "in" -> H.add(args[0], 60, () -> {
                DefaultMQProducer p = producer();
                send(p, "m0");
                Set<String> got = consumed();
                for (int i = 1; i < 20; i++) send(p, i == 7 ? "m" + "x".repeat(200_000) : "m" + i);
                H.until(60, "20 messages, have " + got.size(), () -> got.size() == 20);
            });
            default -> H.add(args[0], 60, () -> {
                DefaultMQProducer p = producer();
                send(p, "m0");
                Set<String> got = consumed();
                H.SAY.println("live"); H.SAY.flush();
                int sent = 1;
                while (System.in.available() == 0) { send(p, "m" + sent++); Thread.sleep(5); }
                int count = sent;
                H.until(60, count + " messages, have " + got.size(), () -> got.size() == count);
            });
        }
        H.runAll(1);
    }
}
