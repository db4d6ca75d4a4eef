import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.apache.rocketmq.common.BrokerConfig;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageExtBrokerInner;
import org.apache.rocketmq.store.DefaultMessageStore;
import org.apache.rocketmq.store.GetMessageResult;
import org.apache.rocketmq.store.GetMessageStatus;
import org.apache.rocketmq.store.PutMessageResult;
import org.apache.rocketmq.store.PutMessageStatus;
import org.apache.rocketmq.store.config.FlushDiskType;
import org.apache.rocketmq.store.config.MessageStoreConfig;
import org.apache.rocketmq.store.stats.BrokerStatsManager;

/**
 * The cases of `cometmq bench store` on Apache's DefaultMessageStore: the same messages, the same figures, one JSON line a
 * case. `java -cp JARS StoreBench.java put|fill|get|recover|rebuild|put-sync|many-queues --dir D …`; what a case is stands
 * in bench/README.md.
 */
public final class StoreBench {
    static final String TOPIC = "TopicTest";
    static final int QUEUES = 8;
    static final int PULL_COUNT = 32;
    static final long GIB = 1L << 30;

    final Map<String, String> flags = new HashMap<>();
    final Path dir;
    final String name;
    final AtomicLong next = new AtomicLong();
    byte[] body;
    int queues = QUEUES;
    Map<String, String> shared;

    StoreBench(String[] args) {
        for (int i = 1; i + 1 < args.length; i += 2) {
            flags.put(args[i], args[i + 1]);
        }
        dir = Path.of(flags.get("--dir"));
        name = flags.getOrDefault("--name", args[0]);
        queues = (int) number("--queues", QUEUES);
        body = new byte[(int) number("--size", 1024)];
        for (int k = 0; k < body.length; k++) {
            body[k] = (byte) ('a' + (k * 7 + k / 26) % 26);
        }
        // The store only looks flags up in it; what it writes is the string that is made of each message.
        MessageExtBrokerInner m = new MessageExtBrokerInner();
        for (String pair : List.of("KEYS=k0", "UNIQ_KEY=0", "WAIT=true", "TAGS=TagA", "MSG_REGION=DefaultRegion", "TRACE_ON=true",
            "CLUSTER=DefaultCluster")) {
            String[] parts = pair.split("=");
            MessageAccessor.putProperty(m, parts[0], parts[1]);
        }
        shared = m.getProperties();
    }

    double number(String flag, double otherwise) {
        return flags.containsKey(flag) ? Double.parseDouble(flags.get(flag)) : otherwise;
    }

    public static void main(String[] args) throws Exception {
        StoreBench bench = new StoreBench(args);
        switch (args[0]) {
            case "put", "many-queues" -> bench.put();
            case "fill" -> bench.fill();
            case "get" -> bench.get();
            case "recover" -> bench.recover();
            case "rebuild" -> bench.rebuild();
            case "put-sync" -> bench.putSync();
            default -> throw new IllegalArgumentException(args[0]);
        }
        // Threads of the store that do not end hold up nobody.
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    DefaultMessageStore open(FlushDiskType flush) throws Exception {
        MessageStoreConfig c = new MessageStoreConfig();
        c.setStorePathRootDir(dir.toString());
        c.setStorePathCommitLog(dir.resolve("commitlog").toString());
        c.setHaListenPort(0);
        c.setFlushDiskType(flush);
        c.setDiskMaxUsedSpaceRatio(98);
        c.setCleanFileForciblyEnable(false);
        c.setTransientStorePoolEnable("on".equals(flags.get("--tsp")));
        c.setTransientStorePoolSize(2);
        BrokerConfig b = new BrokerConfig();
        b.setBrokerName("bench");
        DefaultMessageStore s = new DefaultMessageStore(c, new BrokerStatsManager("bench", false), null, b, new ConcurrentHashMap<>());
        if (!s.load()) {
            throw new IllegalStateException("load failed");
        }
        s.start();
        return s;
    }

    MessageExtBrokerInner message(long i) {
        MessageExtBrokerInner m = new MessageExtBrokerInner();
        m.setTopic(queues == QUEUES ? TOPIC : TOPIC + i % queues / QUEUES);
        m.setQueueId((int) (i % queues % QUEUES));
        m.setFlag(0);
        m.setSysFlag(0);
        m.setBornTimestamp(System.currentTimeMillis());
        m.setBornHost(HOST);
        m.setStoreHost(HOST);
        m.setTagsCode("TagA".hashCode());
        m.setBody(body);
        MessageAccessor.setProperties(m, shared);
        m.setPropertiesString("KEYS\001k" + i + "\002UNIQ_KEY\0017F000001PERFBENC" + hex16(i) + SUFFIX);
        return m;
    }

    static final InetSocketAddress HOST = new InetSocketAddress("127.0.0.1", 10911);
    static final String SUFFIX = "\002WAIT\001true\002TAGS\001TagA\002MSG_REGION\001DefaultRegion\002TRACE_ON\001true\002CLUSTER\001DefaultCluster\002";

    static String hex16(long i) {
        char[] digits = new char[16];
        for (int at = 15; at >= 0; at--, i >>>= 4) {
            digits[at] = "0123456789ABCDEF".charAt((int) (i & 15));
        }
        return new String(digits);
    }

    /** So many threads put until told otherwise; returns how long that took. */
    double putWhile(DefaultMessageStore s, int threads, BooleanSupplier goOn) throws Exception {
        long started = System.nanoTime();
        Thread[] workers = new Thread[threads];
        for (int t = 0; t < threads; t++) {
            workers[t] = new Thread(() -> {
                while (goOn.getAsBoolean()) {
                    PutMessageResult r = s.putMessage(message(next.getAndIncrement()));
                    if (r.getPutMessageStatus() != PutMessageStatus.PUT_OK) {
                        System.err.println("put: " + r);
                        Runtime.getRuntime().halt(1);
                    }
                }
            });
            workers[t].start();
        }
        for (Thread worker : workers) {
            worker.join();
        }
        return (System.nanoTime() - started) / 1e9;
    }

    static void settle(DefaultMessageStore s) throws Exception {
        while (s.dispatchBehindBytes() > 0) {
            Thread.sleep(1);
        }
    }

    static double cpuSec() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1e9;
    }

    void put() throws Exception {
        DefaultMessageStore s = open(FlushDiskType.ASYNC_FLUSH);
        int threads = (int) number("--threads", 1);
        long bytesMax = (long) (number("--gib", 4) * GIB);
        long warmUntil = System.nanoTime() + (long) (number("--warmup", 5) * 1e9);
        putWhile(s, threads, () -> System.nanoTime() < warmUntil && s.getMaxPhyOffset() < bytesMax / 2 || next.get() < 2L * queues);
        settle(s);
        long first = next.get();
        long startBytes = s.getMaxPhyOffset();
        double cpu = cpuSec();
        long started = System.nanoTime();
        long until = started + (long) (number("--secs", 10) * 1e9);
        double secs = putWhile(s, threads, () -> System.nanoTime() < until && s.getMaxPhyOffset() < bytesMax);
        long count = next.get() - first;
        long bytes = s.getMaxPhyOffset() - startBytes;
        settle(s);
        double settled = (System.nanoTime() - started) / 1e9;
        print("opsPerSec", count / secs, "settledOpsPerSec", count / settled, "MBps", bytes / settled / 1e6, "cpuSec", cpuSec() - cpu, "secs", secs);
    }

    void putSync() throws Exception {
        DefaultMessageStore s = open(FlushDiskType.SYNC_FLUSH);
        String base = name;
        for (int waiters : new int[] {1, (int) number("--waiters", 64)}) {
            long first = next.get();
            long until = System.nanoTime() + (long) (number("--secs", 10) / 2 * 1e9);
            double secs = putWhile(s, waiters, () -> System.nanoTime() < until);
            print(base + "-" + waiters, "waiters", waiters, "opsPerSec", (next.get() - first) / secs, "secs", secs);
        }
    }

    long fill(DefaultMessageStore s) throws Exception {
        long bytes = (long) (number("--gib", 4) * GIB);
        putWhile(s, 1, () -> s.getMaxPhyOffset() < bytes);
        settle(s);
        return next.get();
    }

    void fill() throws Exception {
        DefaultMessageStore s = open(FlushDiskType.ASYNC_FLUSH);
        long started = System.nanoTime();
        long count = fill(s);
        double secs = (System.nanoTime() - started) / 1e9;
        Files.writeString(dir.resolve("expect"), Long.toString(count));
        print("opsPerSec", count / secs, "secs", secs);
    }

    void get() throws Exception {
        DefaultMessageStore s = open(FlushDiskType.ASYNC_FLUSH);
        fill(s);
        String base = name;
        for (String kind : List.of("nocopy", "copy")) {
            long started = System.nanoTime();
            long until = started + (long) (number("--secs", 10) * 1e9);
            double cpu = cpuSec();
            long count = 0;
            long bytes = 0;
            for (int q = 0; System.nanoTime() < until; q = (q + 1) % QUEUES) {
                for (long offset = 0;;) {
                    GetMessageResult r = s.getMessage("bench", TOPIC, q, offset, PULL_COUNT, null);
                    if (r.getStatus() != GetMessageStatus.FOUND) {
                        r.release();
                        break;
                    }
                    count += r.getMessageCount();
                    bytes += r.getBufferTotalSize();
                    if (kind.equals("copy")) {
                        ByteBuffer copy = ByteBuffer.allocate(r.getBufferTotalSize());
                        for (ByteBuffer record : r.getMessageBufferList()) {
                            copy.put(record);
                        }
                    }
                    offset = r.getNextBeginOffset();
                    r.release();
                }
            }
            double secs = (System.nanoTime() - started) / 1e9;
            print(base + "-" + kind, "opsPerSec", count / secs, "MBps", bytes / secs / 1e6, "cpuSec", cpuSec() - cpu, "secs", secs);
        }
    }

    void recover() throws Exception {
        Path expect = dir.resolve("expect");
        long expected = Long.parseLong(Files.readString(expect).trim());
        Files.delete(expect);
        double cpu = cpuSec();
        long started = System.nanoTime();
        DefaultMessageStore s = open(FlushDiskType.ASYNC_FLUSH);
        double load = (System.nanoTime() - started) / 1e9;
        settle(s);
        long readable = 0;
        for (int q = 0; q < QUEUES; q++) {
            readable += s.getMaxOffsetInQueue(TOPIC, q);
        }
        double secs = (System.nanoTime() - started) / 1e9;
        if (readable != expected) {
            throw new IllegalStateException(readable + " of " + expected + " messages can be read");
        }
        double used = cpuSec() - cpu;
        double bytes = s.getMaxPhyOffset() - s.getMinPhyOffset();
        Files.writeString(expect, Long.toString(expected));
        print("opsPerSec", expected / secs, "MBps", bytes / secs / 1e6, "cpuSec", used, "secs", secs, "loadSecs", load);
    }

    void rebuild() throws Exception {
        for (String gone : List.of("consumequeue", "index", "checkpoint")) {
            delete(dir.resolve(gone));
        }
        recover();
    }

    static void delete(Path path) throws Exception {
        if (!Files.exists(path)) {
            return;
        }
        try (Stream<Path> all = Files.walk(path)) {
            for (Path one : (Iterable<Path>) all.sorted(Comparator.reverseOrder())::iterator) {
                Files.delete(one);
            }
        }
    }

    void print(Object... figures) {
        boolean isNamed = figures.length % 2 == 1;
        StringBuilder line = new StringBuilder("{\"name\":\"").append(isNamed ? figures[0] : name).append('"');
        for (int i = isNamed ? 1 : 0; i < figures.length; i += 2) {
            line.append(",\"").append(figures[i]).append("\":").append(String.format(Locale.ROOT, "%.3f", ((Number) figures[i + 1]).doubleValue()));
        }
        System.out.println(line.append('}'));
    }
}
