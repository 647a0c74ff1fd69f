package io.alio.trino;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.trino.filesystem.Location;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class MountsTest {
    private static final Mounts MOUNTS = Mounts.parse(List.of("hdfs://ns/warehouse=lake", "hdfs://ns/warehouse/cold/=ice", "hdfs://nn:8020=all", "s3a://bucket/tables=lake/s3"));

    @ParameterizedTest
    @CsvSource({
        "hdfs://ns/warehouse/t/part-1, lake, t/part-1",
        "hdfs://ns/warehouse/cold/t/part-1, ice, t/part-1",
        "hdfs://ns/warehouse/colder/part-1, lake, colder/part-1",
        "hdfs://nn:8020/any/part-1, all, any/part-1",
        "s3://bucket/tables/t/part-1, lake/s3, t/part-1",
        "s3n://bucket/tables/t/part-1, lake/s3, t/part-1",
        "s3://bucket/other/part-1, bucket, other/part-1",
        "s3a://bucket2/k%20=?#x, bucket2, k%20=?#x",
        "gs://bucket/a//b, bucket, a//b",
    })
    void places(String location, String mount, String path) {
        assertEquals(Optional.of(new Mounts.Place(mount, path)), MOUNTS.place(Location.of(location)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"hdfs://other/warehouse/t", "hdfs://ns/warehouses/t", "hdfs://nn:9000/any/t", "local:///t", "/t", "abfs://c@h/t", "s3://bucket/tables/"})
    void noPlace(String location) {
        assertTrue(MOUNTS.place(Location.of(location)).isEmpty(), location);
    }

    @ParameterizedTest
    @ValueSource(strings = {"s3://bucket", "s3://bucket=", "=lake", "bucket=lake", "s3://bucket=/lake", "s3://bucket=lake/"})
    void refuses(String entry) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> Mounts.parse(List.of(entry)));
        assertTrue(e.getMessage().contains("\"" + entry + "\""), e.getMessage());
    }

    @Test
    void refusesALocationTwice() {
        assertThrows(IllegalArgumentException.class, () -> Mounts.parse(List.of("s3://b/t=one", "s3a://b/t/=two")));
    }

    @ParameterizedTest
    @CsvSource({
        "s3://b/t/part-1, false",
        "s3://b/t/.hoodie/20260101.commit, false",
        "s3://b/t/.hoodie/metadata/files/.files-0000_0.log.1_0-1-0, true",
        "s3://b/.trinoSchema, true",
        "s3://b/t/.trinoSchema, true",
        "s3://b/t/.trinoPermissions/user_x, true",
        "s3://b/t/.f1_0.log.1_0-1-0, true",
        "s3://b/t.parquet/a.b, false",
    })
    void hidden(String location, boolean hidden) {
        assertEquals(hidden, LocationKeyProvider.isHidden(Location.of(location)));
    }
}
