import java.io.RandomAccessFile;
import java.nio.channels.FileLock;

/** Takes a store's lock as Apache's broker does, and says whether it has it; with `hold` it keeps it until it is killed. */
class Lock {
    public static void main(String[] args) throws Exception {
        FileLock lock = new RandomAccessFile(args[1], "rw").getChannel().tryLock(0, 1, false);
        System.out.println(lock == null ? "refused" : "locked");
        if (lock != null && args[0].equals("hold")) {
            Thread.sleep(600_000);
        }
    }
}
