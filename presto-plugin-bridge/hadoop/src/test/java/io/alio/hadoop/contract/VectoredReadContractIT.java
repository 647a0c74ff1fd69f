package io.alio.hadoop.contract;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.contract.AbstractContractVectoredReadTest;
import org.apache.hadoop.fs.contract.AbstractFSContract;

/** Hadoop's contract of vectored reads, into heap buffers and direct ones. */
public class VectoredReadContractIT extends AbstractContractVectoredReadTest {
    public VectoredReadContractIT(String bufferType) {
        super(bufferType);
    }

    @Override
    protected AbstractFSContract createContract(Configuration conf) {
        return new AlioLocalContract(conf);
    }
}
