import io.alio.client.AlioClient;
import io.alio.client.AlioFile;
import io.alio.client.AlioOptions;
import io.alio.client.OpenHints;
import io.alio.client.Opened;

/**
 * Alio's Java client beside a warm sidecar: it reads the segments itself and checks their sums. Started with the data set's size, object size and seed, the sidecar's
 * socket, its directory, the mount, and "mapped" or "read".
 */
public final class AlioGet extends Get {
  private final AlioFile[] files;

  private AlioGet(String[] args) throws Exception {
    super(args[0], args[1], args[2]);
    AlioClient client = AlioClient.create(AlioOptions.of(args[3]).directories(args[4]).mapping(args[6].equals("mapped")).controlMillis(5000).warnings(System.err::println));
    files = new AlioFile[objects()];
    for (int i = 0; i < files.length; i++) {
      Opened o = client.open(args[5], name(i), OpenHints.NONE);
      for (int tries = 0; !o.isAvailable() && tries < 100; tries++) { // on a busy machine the first calls may come too late for their deadlines
        Thread.sleep(100);
        o = client.open(args[5], name(i), OpenHints.NONE);
      }
      if (!o.isAvailable()) {
        throw new IllegalStateException(o.message());
      }
      files[i] = o.file();
    }
  }

  public static void main(String[] args) throws Exception {
    new AlioGet(args).serve();
  }

  @Override
  void get(int object, long inObject, byte[] buffer) throws Exception {
    // Without a way to the origin, what the cache does not have is an error.
    if (files[object].read(inObject, buffer, 0, buffer.length, null) != buffer.length) {
      throw new IllegalStateException("the cache does not have byte " + inObject + " of " + name(object));
    }
  }
}
