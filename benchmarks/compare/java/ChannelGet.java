import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.zip.CRC32C;

/**
 * The least that reads and sums: a FileChannel over a file that is the data set, and the JDK's CRC32C over 64 KiB at a time. No look-up, no header. Started with the data
 * set's size, object size and seed, and the file.
 */
public final class ChannelGet extends Get {
  private static final int BLOCK = 64 << 10;

  private final FileChannel file;
  private volatile long sum;

  private ChannelGet(String[] args) throws Exception {
    super(args[0], args[1], args[2]);
    file = FileChannel.open(Path.of(args[3]), StandardOpenOption.READ);
  }

  public static void main(String[] args) throws Exception {
    new ChannelGet(args).serve();
  }

  @Override
  void get(int object, long inObject, byte[] buffer) throws Exception {
    ByteBuffer b = ByteBuffer.wrap(buffer);
    for (long at = object * objectSize + inObject; b.hasRemaining(); ) {
      int n = file.read(b, at);
      if (n <= 0) {
        throw new IllegalStateException("the file ends at " + at);
      }
      at += n;
    }
    CRC32C crc = new CRC32C();
    for (int i = 0; i < buffer.length; i += BLOCK) {
      crc.reset();
      crc.update(buffer, i, Math.min(BLOCK, buffer.length - i));
      sum = crc.getValue();
    }
  }
}
