import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.AclUtils;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.remoting.protocol.*;
import org.apache.rocketmq.remoting.protocol.header.*;

/**
 * Signed frames as Apache's own hook makes them, one a line of JSON:
 *
 *   java -cp 'JARS/*' test/java/acl/AclVectors.java > test/unit/auth/signed-frames.jsonl
 */
public class AclVectors {
    static void out(String name, SessionCredentials c, RemotingCommand r) {
        new AclClientRPCHook(c).doBeforeRequest("127.0.0.1:10911", r);
        ByteBuffer b = r.encode();
        byte[] bytes = new byte[b.remaining()];
        b.get(bytes);
        System.out.println("{\"name\":\"" + name + "\",\"accessKey\":\"" + c.getAccessKey() + "\",\"secretKey\":\"" + c.getSecretKey()
            + "\",\"signature\":\"" + r.getExtFields().get("Signature") + "\",\"frame\":\"" + HexFormat.of().formatHex(bytes) + "\"}");
    }

    static RemotingCommand send(SerializeType type) {
        SendMessageRequestHeader h = new SendMessageRequestHeader();
        h.setProducerGroup("p\u00e4\u00dfword-group"); h.setTopic("orders"); h.setDefaultTopic("TBW102"); h.setDefaultTopicQueueNums(4);
        h.setQueueId(3); h.setSysFlag(0); h.setBornTimestamp(1700000000123L); h.setFlag(7); h.setReconsumeTimes(0);
        h.setProperties("KEYS\u0001k1 k2\u0002TAGS\u0001\"quoted\\\u0002city\u0001\u6771\u4eac \ud83d\ude80\u0002"); h.setUnitMode(false); h.setMaxReconsumeTimes(16); h.setBatch(false);
        RemotingCommand r = RemotingCommand.createRequestCommand(RequestCode.SEND_MESSAGE_V2, SendMessageRequestHeaderV2.createSendMessageRequestHeaderV2(h));
        r.setSerializeTypeCurrentRPC(type);
        byte[] body = new byte[300];
        for (int i = 0; i < body.length; i++) body[i] = (byte) (i * 7);
        r.setBody(body);
        return r;
    }

    static RemotingCommand pull(SerializeType type) {
        PullMessageRequestHeader h = new PullMessageRequestHeader();
        h.setConsumerGroup("g"); h.setTopic("t"); h.setQueueId(0); h.setQueueOffset(9007199254740993L); h.setMaxMsgNums(32); h.setSysFlag(3);
        h.setCommitOffset(0L); h.setSuspendTimeoutMillis(15000L); h.setSubVersion(1L); h.setSubscription("*"); h.setExpressionType("TAG");
        RemotingCommand r = RemotingCommand.createRequestCommand(RequestCode.PULL_MESSAGE, h);
        r.setSerializeTypeCurrentRPC(type);
        return r;
    }

    public static void main(String[] a) {
        System.setProperty(RemotingCommand.REMOTING_VERSION_KEY, "493");
        SessionCredentials plain = new SessionCredentials("rocketmq2", "12345678");
        SessionCredentials odd = new SessionCredentials("us\u00e9r/1", "s\u00e9cret \u6771\u4eac");
        SessionCredentials token = new SessionCredentials("LTAI4", "0123456789abcdef0123456789abcdef", "CAIS+token/==");
        for (SerializeType type : SerializeType.values()) {
            out("send " + type, plain, send(type));
            out("send, letters beyond ASCII " + type, odd, send(type));
            out("send with a security token " + type, token, send(type));
            out("pull " + type, plain, pull(type));
            RemotingCommand heartbeat = RemotingCommand.createRequestCommand(RequestCode.HEART_BEAT, new HeartbeatRequestHeader());
            heartbeat.setSerializeTypeCurrentRPC(type);
            heartbeat.setBody("{\"clientID\":\"c\"}".getBytes(StandardCharsets.UTF_8));
            out("heartbeat without fields of its own " + type, plain, heartbeat);
            RemotingCommand query = RemotingCommand.createRequestCommand(RequestCode.QUERY_MESSAGE, null);
            query.setSerializeTypeCurrentRPC(type);
            query.addExtField("topic", "t"); query.addExtField("key", "k"); query.addExtField("_UNIQUE_KEY_QUERY", "true"); query.addExtField("Z", "1"); query.addExtField("a", "2");
            out("fields in any order " + type, plain, query);
            // As a 4.x client: the flag comes on top of what is signed.
            RemotingCommand old = RemotingCommand.createRequestCommand(RequestCode.QUERY_MESSAGE, null);
            old.setSerializeTypeCurrentRPC(type);
            old.setVersion(399);
            old.addExtField("topic", "t"); old.addExtField("key", "k");
            new AclClientRPCHook(plain).doBeforeRequest("", old);
            old.addExtField("_UNIQUE_KEY_QUERY", "true");
            ByteBuffer b = old.encode();
            byte[] bytes = new byte[b.remaining()];
            b.get(bytes);
            System.out.println("{\"name\":\"a 4.9 client's query by unique key " + type + "\",\"accessKey\":\"rocketmq2\",\"secretKey\":\"12345678\",\"signature\":\""
                + old.getExtFields().get("Signature") + "\",\"frame\":\"" + HexFormat.of().formatHex(bytes) + "\"}");
        }
    }
}
