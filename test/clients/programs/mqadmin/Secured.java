import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.Pattern;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.consumer.*;
import org.apache.rocketmq.client.consumer.listener.*;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.exception.*;
import org.apache.rocketmq.client.producer.*;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.*;
import org.apache.rocketmq.remoting.RPCHook;

/** Apache's client and mqadmin against a broker that asks who they are: root / $ROOT_PASSWORD is its first user. */
public class Secured {
    static final String B = H.BROKER, ROOT_PASSWORD = H.env("ROOT_PASSWORD", "root-secret-1");
    static final int NO_PERMISSION = 16;
    static String n(String x) { return "sec-" + H.RUN + "-" + x; }
    static RPCHook as(String user, String password) { return user == null ? null : new AclClientRPCHook(new SessionCredentials(user, password)); }

    /** mqadmin takes its credentials from conf/tools.yml under rocketmq.home.dir. */
    static synchronized String admin(String user, String password, String... args) throws Exception {
        Path conf = Paths.get(System.getProperty("rocketmq.home.dir"), "conf");
        Files.createDirectories(conf);
        Path tools = conf.resolve("tools.yml");
        if (user == null) Files.deleteIfExists(tools); else Files.writeString(tools, "accessKey: " + user + "\nsecretKey: \"" + password + "\"\n");
        return Mq.run(args);
    }
    static String root(String... args) throws Exception {
        String o = admin("root", ROOT_PASSWORD, args);
        H.check(!Pattern.compile("\\w\\.\\w*Exception\\b|CODE: ?\\d+").matcher(o).find(), "mqadmin " + args[0] + " printed " + o.substring(0, Math.min(o.length(), 400)));
        return o;
    }
    static void has(String out, String re) { H.check(Pattern.compile(re, Pattern.MULTILINE | Pattern.DOTALL).matcher(out).find(), "want /" + re + "/ in: " + out.substring(0, Math.min(out.length(), 400))); }
    static void hasNot(String out, String re) { H.check(!Pattern.compile(re, Pattern.MULTILINE).matcher(out).find(), "unwanted /" + re + "/ in: " + out); }

    static DefaultMQProducer producer(RPCHook hook) throws Exception {
        DefaultMQProducer p = new DefaultMQProducer(n("p" + UUID.randomUUID()), hook);
        p.setNamesrvAddr(H.NS); p.setSendMsgTimeout(8000); p.setInstanceName(UUID.randomUUID().toString());
        p.start(); H.later(p::shutdown); return p;
    }
    static void send(DefaultMQProducer p, String topic, String body) throws Exception { H.eq(SendStatus.SEND_OK, p.send(new Message(topic, body.getBytes())).getSendStatus(), "send"); }
    static String refused(String what, Callable<?> f) throws Exception {
        try { f.call(); } catch (MQClientException e) { return codeIs(what, e.getResponseCode(), e); } catch (MQBrokerException e) { return codeIs(what, e.getResponseCode(), e); }
        throw new AssertionError(what + ": was let in");
    }
    static String codeIs(String what, int code, Exception e) { H.eq(NO_PERMISSION, code, what + ": code of " + e); return e + " <- " + e.getCause(); }
    static void topic(String t) throws Throwable { has(root("updateTopic", "-b", B, "-t", t, "-r", "2", "-w", "2"), "success"); }
    static void user(String name, String password, String... more) throws Exception {
        List<String> a = new ArrayList<>(List.of("createUser", "-b", B, "-u", name, "-p", password)); a.addAll(List.of(more));
        has(root(a.toArray(new String[0])), "create user to .* success");
    }
    static void allow(String name, String resource, String actions, String decision, String... more) throws Exception {
        List<String> a = new ArrayList<>(List.of("createAcl", "-b", B, "-s", "User:" + name, "-r", resource, "-a", actions, "-d", decision)); a.addAll(List.of(more));
        has(root(a.toArray(new String[0])), "create acl to .* success");
    }
    static Set<String> push(String group, String topic, RPCHook hook) throws Exception {
        Set<String> got = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer c = new DefaultMQPushConsumer(null, group, hook, new AllocateMessageQueueAveragely());
        c.setNamesrvAddr(H.NS); c.setInstanceName(UUID.randomUUID().toString()); c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET); c.subscribe(topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (ms, x) -> { for (MessageExt m : ms) got.add(new String(m.getBody())); return ConsumeConcurrentlyStatus.CONSUME_SUCCESS; });
        c.start(); H.later(c::shutdown); return got;
    }

    public static void main(String[] a) throws Exception {
        H.lang = "secured-java";
        String shared = H.env("GRPC_TOPIC", n("grpc")); try { topic(shared); } catch (Throwable e) { throw new IllegalStateException(e); }
        H.add("super-user", 60, () -> {
            String t = n("super"); topic(t);
            Set<String> got = push(n("superg"), t, as("root", ROOT_PASSWORD));
            DefaultMQProducer p = producer(as("root", ROOT_PASSWORD));
            for (int i = 0; i < 20; i++) send(p, t, "m" + i);
            H.until(60, "20 messages, have " + got.size(), () -> got.size() == 20);
        });
        H.add("no-credentials", 60, () -> { String t = n("none"); topic(t); DefaultMQProducer p = producer(null); refused("send", () -> p.send(new Message(t, new byte[1]))); });
        H.add("wrong-password", 60, () -> { String t = n("wrong"); topic(t); DefaultMQProducer p = producer(as("root", "no")); refused("send", () -> p.send(new Message(t, new byte[1]))); });
        H.add("unknown-user", 60, () -> {
            String t = n("unknown"); topic(t); DefaultMQProducer p = producer(as("nobody", "no"));
            String told = refused("send", () -> p.send(new Message(t, new byte[1])));
            H.check(!told.contains("not found"), "tells whether there is such a user: " + told);
        });
        H.add("mqadmin-without-credentials", 60, () -> {
            has(admin(null, null, "updateTopic", "-b", B, "-t", n("x"), "-r", "1", "-w", "1"), "CODE: 16");
            has(admin(null, null, "createUser", "-b", B, "-u", "evil", "-p", "evil", "-t", "Super"), "CODE: 16");
            has(admin(null, null, "updateBrokerConfig", "-b", B, "-k", "maxMessageSize", "-v", "1"), "CODE: 16");
            has(admin(null, null, "updateNamesrvConfig", "-k", "orderMessageEnable", "-v", "true"), "CODE: 16");
            has(admin("root", "wrong", "getBrokerConfig", "-b", B), "CODE: 16");
        });
        H.add("publisher", 90, () -> {
            String t = n("pub"), other = n("other"), u = n("pubuser"); topic(t); topic(other);
            user(u, "pw-1"); allow(u, "Topic:" + t, "Pub", "Allow");
            DefaultMQProducer p = producer(as(u, "pw-1"));
            send(p, t, "m");
            has(refused("other topic", () -> p.send(new Message(other, new byte[1]))), "has no permission to access Topic:" + other + " from 127\\.0\\.0\\.1, no matched policies");
            has(admin(u, "pw-1", "updateBrokerConfig", "-b", B, "-k", "maxMessageSize", "-v", "1"), "CODE: 16");
            has(admin(u, "pw-1", "updateTopic", "-b", B, "-t", n("own"), "-r", "1", "-w", "1"), "CODE: 16");
            has(admin(u, "pw-1", "createUser", "-b", B, "-u", "evil", "-p", "evil"), "CODE: 16");
            has(admin(u, "pw-1", "getUser", "-b", B, "-u", "root"), "CODE: 16");
        });
        H.add("consumer", 120, () -> {
            String t = n("sub"), g = n("subg"), u = n("subuser"); topic(t);
            user(u, "pw-2"); allow(u, "Topic:" + t + ",Group:" + g, "Sub", "Allow");
            DefaultMQProducer p = producer(as("root", ROOT_PASSWORD));
            for (int i = 0; i < 5; i++) send(p, t, "m" + i);
            Set<String> got = push(g, t, as(u, "pw-2"));
            Set<String> none = push(n("another-group"), t, as(u, "pw-2"));
            H.until(60, "5 messages", () -> got.size() == 5);
            H.check(none.isEmpty(), "a group that the user has no permission for got " + none);
            DefaultMQProducer q = producer(as(u, "pw-2"));
            refused("send", () -> q.send(new Message(t, new byte[1])));
        });
        H.add("consumer-gives-back", 120, () -> {
            String t = n("back"), g = n("backg"), u = n("backuser"); topic(t);
            user(u, "pw-8"); allow(u, "Topic:" + t + ",Group:" + g, "Sub", "Allow");
            send(producer(as("root", ROOT_PASSWORD)), t, "m");
            Set<Integer> tries = ConcurrentHashMap.newKeySet();
            DefaultMQPushConsumer c = new DefaultMQPushConsumer(null, g, as(u, "pw-8"), new AllocateMessageQueueAveragely());
            c.setNamesrvAddr(H.NS); c.setInstanceName(UUID.randomUUID().toString()); c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET); c.subscribe(t, "*");
            c.registerMessageListener((MessageListenerConcurrently) (ms, x) -> {
                tries.add(ms.get(0).getReconsumeTimes()); x.setDelayLevelWhenNextConsume(1);
                return tries.size() < 3 ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            c.start(); H.later(c::shutdown);
            H.until(90, "three tries, have " + tries, () -> tries.equals(Set.of(0, 1, 2)));
        });
        H.add("transaction", 90, () -> {
            String t = n("tx"), u = n("txuser"); topic(t);
            user(u, "pw-9"); allow(u, "Topic:" + t, "Pub", "Allow");
            Set<String> got = push(n("txg"), t, as("root", ROOT_PASSWORD));
            TransactionMQProducer p = new TransactionMQProducer(n("txp"), as(u, "pw-9"));
            p.setNamesrvAddr(H.NS); p.setInstanceName(UUID.randomUUID().toString());
            p.setTransactionListener(new TransactionListener() {
                public LocalTransactionState executeLocalTransaction(Message m, Object arg) { return (LocalTransactionState) arg; }
                public LocalTransactionState checkLocalTransaction(MessageExt m) { return LocalTransactionState.UNKNOW; }
            });
            p.start(); H.later(p::shutdown);
            p.sendMessageInTransaction(new Message(t, "undone".getBytes()), LocalTransactionState.ROLLBACK_MESSAGE);
            p.sendMessageInTransaction(new Message(t, "done".getBytes()), LocalTransactionState.COMMIT_MESSAGE);
            H.until(60, "the committed message, have " + got, () -> got.equals(Set.of("done")));
        });
        H.add("deny-before-allow", 90, () -> {
            String pre = n("deny"), t = pre + "-a", secret = pre + "-secret", u = n("denyuser"); topic(t); topic(secret);
            user(u, "pw-3"); allow(u, "Topic:" + pre + "*", "Pub", "Allow"); allow(u, "Topic:" + secret, "All", "Deny");
            DefaultMQProducer p = producer(as(u, "pw-3"));
            send(p, t, "m");
            has(refused("denied", () -> p.send(new Message(secret, new byte[1]))), "the decision is deny");
        });
        H.add("source-ip", 90, () -> {
            String t = n("ip"), u = n("ipuser"); topic(t);
            user(u, "pw-4"); allow(u, "Topic:" + t, "Pub", "Allow", "-i", "10.0.0.0/8,192.168.0.1");
            DefaultMQProducer p = producer(as(u, "pw-4"));
            refused("from elsewhere", () -> p.send(new Message(t, new byte[1])));
            has(root("updateAcl", "-b", B, "-s", "User:" + u, "-r", "Topic:" + t, "-a", "Pub", "-d", "Allow", "-i", "127.0.0.0/8"), "update acl to .* success");
            send(p, t, "m");
        });
        H.add("users", 90, () -> {
            String t = n("users"), u = n("someone"); topic(t);
            user(u, "pw-5"); allow(u, "Topic:*", "Pub", "Allow");
            DefaultMQProducer p = producer(as(u, "pw-5")); send(p, t, "m");
            has(root("getUser", "-b", B, "-u", u), u + "\\s+pw-5\\s+Normal\\s+enable");
            has(root("updateUser", "-b", B, "-u", u, "-s", "disable"), "update user to .* success");
            has(refused("disabled", () -> p.send(new Message(t, new byte[1]))), "is disabled");
            has(root("updateUser", "-b", B, "-u", u, "-s", "enable"), "success");
            has(root("updateUser", "-b", B, "-u", u, "-p", "pw-6"), "success");
            refused("old password", () -> p.send(new Message(t, new byte[1])));
            DefaultMQProducer q = producer(as(u, "pw-6")); send(q, t, "m");
            String list = root("listUser", "-b", B); has(list, u + "\\s+"); has(list, "root\\s+");
            has(root("copyUser", "-f", B, "-t", B, "-u", u), "copy user of " + u + " from .* success");
            send(q, t, "m");
            has(root("deleteUser", "-b", B, "-u", u), "delete user to .* success");
            refused("deleted", () -> q.send(new Message(t, new byte[1])));
            hasNot(root("listUser", "-b", B), u);
        });
        H.add("acls", 90, () -> {
            String u = n("acls"); user(u, "pw-7");
            allow(u, "Topic:a,Topic:b*,Group:*", "Pub,Sub", "Allow", "-i", "127.0.0.1");
            String got = root("getAcl", "-b", B, "-s", "User:" + u);
            has(got, "User:" + u + "\\s+Custom\\s+Topic:a\\s+\\[Pub, Sub\\]\\s+\\[127.0.0.1\\]\\s+Allow"); has(got, "Topic:b\\*"); has(got, "Group:\\*");
            has(root("listAcl", "-b", B, "-s", u, "-r", "Topic:b"), "Topic:b\\*"); hasNot(root("listAcl", "-b", B, "-s", u, "-r", "Topic:b"), "Topic:a");
            has(root("copyAcl", "-f", B, "-t", B, "-s", "User:" + u), "copy acl of User:" + u + " from .* success");
            has(root("deleteAcl", "-b", B, "-s", "User:" + u, "-r", "Topic:a"), "delete acl to .* success"); hasNot(root("getAcl", "-b", B, "-s", "User:" + u), "Topic:a\\s");
            has(root("deleteAcl", "-b", B, "-s", "User:" + u), "delete acl to .* success"); hasNot(root("getAcl", "-b", B, "-s", "User:" + u), "Topic:b");
            has(admin("root", ROOT_PASSWORD, "createAcl", "-b", B, "-s", "User:" + n("nobody"), "-r", "Topic:a", "-a", "Pub", "-d", "Allow"), "is not exist");
            has(admin("root", ROOT_PASSWORD, "createAcl", "-b", B, "-s", "User:" + u, "-r", "Topic:a", "-a", "Any", "-d", "Allow"), "The actions can not be Any");
        });
        H.runAll(3);
    }
}
