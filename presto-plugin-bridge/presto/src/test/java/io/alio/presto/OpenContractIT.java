package io.alio.presto;

import static org.junit.Assert.assertThrows;

import java.io.FileNotFoundException;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.contract.AbstractContractOpenTest;
import org.apache.hadoop.fs.contract.AbstractFSContract;
import org.apache.hadoop.fs.contract.ContractTestUtils;
import org.junit.Test;

/** Hadoop's contract of opening files, over S3. */
public class OpenContractIT extends AbstractContractOpenTest {
    @Override
    protected AbstractFSContract createContract(Configuration conf) {
        return new AlioS3Contract(conf);
    }

    /** Presto's file system asks nothing when it opens, with the bridge or without: the first read tells that there is no such file. */
    private void readFails(Path folder) throws Exception {
        try (FSDataInputStream in = getFileSystem().open(folder)) {
            assertThrows(FileNotFoundException.class, in::read);
        }
    }

    @Test
    @Override
    public void testOpenReadDir() throws Throwable {
        readFails(path("zero.dir"));
    }

    @Test
    @Override
    public void testOpenReadDirWithChild() throws Throwable {
        Path folder = path("zero.dir");
        ContractTestUtils.touch(getFileSystem(), new Path(folder, "child"));
        readFails(folder);
    }
}
