package org.apache.rocketmq.test.base;

import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.test.client.rmq.RMQAsyncSendProducer;
import org.apache.rocketmq.test.client.rmq.RMQNormalConsumer;
import org.apache.rocketmq.test.client.rmq.RMQNormalProducer;
import org.apache.rocketmq.test.client.rmq.RMQTransactionalProducer;
import org.apache.rocketmq.test.clientinterface.AbstractMQConsumer;
import org.apache.rocketmq.test.clientinterface.AbstractMQProducer;
import org.apache.rocketmq.test.factory.ConsumerFactory;
import org.apache.rocketmq.test.listener.AbstractListener;
import org.apache.rocketmq.test.util.MQAdmin;
import org.apache.rocketmq.test.util.MQRandomUtils;
import org.apache.rocketmq.client.producer.TransactionListener;

/**
 * Takes the place of the class of this name in Apache's jar, whose servers run inside the tests: here they are those of the
 * system properties `cluster.namesrv` and `cluster.brokers` (two names, a comma between them). The rest is what the tests
 * call and inherit, with the names and types they were compiled against.
 */
public class BaseConf {
    public static String nsAddr = System.getProperty("cluster.namesrv");
    protected static String broker1Name = brokerName(0);
    protected static String broker2Name = brokerName(1);
    protected static String clusterName = "DefaultCluster";
    protected static int brokerNum = 2;
    protected static int waitTime = 5;
    protected static int consumeTime = 2 * 60 * 1000;
    protected static List<Object> mqClients = new ArrayList<>();

    private static String brokerName(int index) {
        return System.getProperty("cluster.brokers").split(",")[index];
    }

    public static String initTopic() {
        return initTopicWithName(MQRandomUtils.getRandomTopic());
    }

    public static String initTopicWithName(String topic) {
        IntegrationTestBase.initTopic(topic, nsAddr, clusterName);
        return topic;
    }

    public static String initConsumerGroup() {
        return initConsumerGroup(MQRandomUtils.getRandomConsumerGroup());
    }

    public static String initConsumerGroup(String group) {
        MQAdmin.createSub(nsAddr, clusterName, group);
        return group;
    }

    public static RMQNormalProducer getProducer(String namesrv, String topic) {
        return getProducer(namesrv, topic, false);
    }

    public static RMQNormalProducer getProducer(String namesrv, String topic, boolean tls) {
        return kept(new RMQNormalProducer(namesrv, topic, tls));
    }

    public static RMQNormalProducer getProducer(String namesrv, String topic, String group, String instance) {
        return kept(new RMQNormalProducer(namesrv, topic, group, instance));
    }

    public static RMQTransactionalProducer getTransactionalProducer(String namesrv, String topic, TransactionListener listener) {
        return kept(new RMQTransactionalProducer(namesrv, topic, false, listener));
    }

    public static RMQAsyncSendProducer getAsyncProducer(String namesrv, String topic) {
        return kept(new RMQAsyncSendProducer(namesrv, topic));
    }

    public static RMQNormalConsumer getConsumer(String namesrv, String topic, String tags, AbstractListener listener) {
        return getConsumer(namesrv, topic, tags, listener, false);
    }

    public static RMQNormalConsumer getConsumer(
        String namesrv, String topic, String tags, AbstractListener listener, boolean tls) {
        return getConsumer(namesrv, initConsumerGroup(), topic, tags, listener, tls);
    }

    public static RMQNormalConsumer getConsumer(
        String namesrv, String group, String topic, String tags, AbstractListener listener) {
        return getConsumer(namesrv, group, topic, tags, listener, false);
    }

    public static RMQNormalConsumer getConsumer(
        String namesrv, String group, String topic, String tags, AbstractListener listener, boolean tls) {
        return kept(ConsumerFactory.getRMQNormalConsumer(namesrv, group, topic, tags, listener, tls));
    }

    private static <T> T kept(T client) {
        mqClients.add(client);
        return client;
    }

    /** A test shuts some of its clients down itself; a second time is no failure. */
    public static void shutdown() {
        for (Object client : mqClients) {
            if (client instanceof AbstractMQProducer) {
                ((AbstractMQProducer) client).shutdown();
            } else {
                ((AbstractMQConsumer) client).shutdown();
            }
        }
        mqClients.clear();
    }
}
