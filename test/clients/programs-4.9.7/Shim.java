import java.util.Properties;
import org.apache.rocketmq.client.consumer.*;
import org.apache.rocketmq.client.impl.factory.MQClientInstance;
import org.apache.rocketmq.client.producer.*;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.*;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.common.subscription.SubscriptionGroupConfig;

/** What the 4.x client calls otherwise than the 5.x one, or does not have: cases that need the latter ask FIVE first. */
final class Shim {
    static final boolean FIVE = false;
    static void broadcast(DefaultMQPushConsumer c) { c.setMessageModel(MessageModel.BROADCASTING); }
    static MQClientInstance factory(DefaultMQProducer p) { return p.getDefaultMQProducerImpl().getmQClientFactory(); }
    static void topic(DefaultMQProducer p, String broker, String topic, int queues) throws Exception {
        factory(p).getMQClientAPIImpl().createTopic(broker, "TBW102", new TopicConfig(topic, queues, queues, 6), 8000);
    }
    static void group(DefaultMQProducer p, String broker, String group, int retries) throws Exception {
        SubscriptionGroupConfig g = new SubscriptionGroupConfig();
        g.setGroupName(group); g.setRetryMaxTimes(retries);
        factory(p).getMQClientAPIImpl().createSubscriptionGroup(broker, g, 8000);
    }
    static void config(DefaultMQProducer p, String broker, String k, String v) throws Exception {
        Properties q = new Properties(); q.setProperty(k, v);
        factory(p).getMQClientAPIImpl().updateBrokerConfig(broker, q, 8000);
    }
    static UnsupportedOperationException none() { return new UnsupportedOperationException("the 4.x client has none of this"); }
    static void popMode(DefaultMQProducer p, String broker, String topic, String group) { throw none(); }
    static void clientRebalanceOff(DefaultMQPushConsumer c) { throw none(); }
    static void delayMs(Message m, long ms) { throw none(); }
    static void delaySec(Message m, long s) { throw none(); }
    static void deliverAt(Message m, long at) { throw none(); }
    static String recallHandle(SendResult r) { throw none(); }
    static String recall(DefaultMQProducer p, String topic, String handle) { throw none(); }
    static void compressType(DefaultMQProducer p, String type) { throw none(); }
}
