# Made delta_multipart, delta_v2_json, delta_v2_parquet and iceberg_hadoop, with Spark 3.5.7 (pyspark), delta-spark 3.3.2 and iceberg-spark-runtime
# 1.9.2, the jars of both and of antlr4-runtime 4.9.3 and delta-storage 3.3.2 in the folder that JARS names. Iceberg writes the location into its files, so
# all is written below /lake and moved here. Run in this folder.
import glob
import os
import shutil

from pyspark.sql import SparkSession

LAKE = "/lake"
shutil.rmtree(LAKE, ignore_errors=True)
spark = (SparkSession.builder.master("local[1]")
         .config("spark.jars", ",".join(glob.glob(os.environ["JARS"] + "/*.jar")))
         .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension,org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
         .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
         .config("spark.sql.catalog.ice", "org.apache.iceberg.spark.SparkCatalog")
         .config("spark.sql.catalog.ice.type", "hadoop").config("spark.sql.catalog.ice.warehouse", LAKE)
         .config("spark.sql.shuffle.partitions", "1").config("spark.ui.enabled", "false").config("spark.sql.warehouse.dir", LAKE + "/wh")
         .getOrCreate())


def delta(name, properties, conf):
    for key, value in conf.items():
        spark.conf.set(key, value)
    where = f"delta.`{LAKE}/{name}`"
    spark.sql(f"create table {where} (id bigint, p string, v double) using delta partitioned by (p) tblproperties ({properties})")
    for i in range(4):
        spark.sql(f"insert into {where} select id, concat('p', id % 2), id * 1.5 from range({i * 10}, {i * 10 + 10})")
    spark.sql(f"delete from {where} where id = 5")
    spark.sql(f"update {where} set v = 0 where id = 7")
    spark.sql(f"insert into {where} values (100, 'p0', 1.0)")
    for key in conf:
        spark.conf.unset(key)


small = "spark.databricks.delta.checkpoint.partSize"
top = "spark.databricks.delta.checkpointV2.topLevelFileFormat"
delta("delta_multipart", "'delta.checkpointInterval'='3', 'delta.enableChangeDataFeed'='true'", {small: "4"})
v2 = "'delta.checkpointInterval'='3', 'delta.checkpointPolicy'='v2', 'delta.enableDeletionVectors'='true', 'delta.enableChangeDataFeed'='true'"
delta("delta_v2_json", v2, {small: "4", top: "json"})
delta("delta_v2_parquet", v2, {small: "4", top: "parquet"})

table = "ice.iceberg_hadoop"
spark.sql(f"create table {table} (id bigint, p string, v double) using iceberg partitioned by (p) "
          "tblproperties ('format-version'='3', 'write.delete.mode'='merge-on-read', 'write.update.mode'='merge-on-read')")
for i in range(2):
    spark.sql(f"insert into {table} select id, concat('p', id % 2), id * 1.5 from range({i * 10}, {i * 10 + 10})")
spark.sql(f"delete from {table} where id = 5")
spark.sql(f"call ice.system.compute_table_stats('{table.removeprefix('ice.')}')")
spark.stop()
for name in "delta_multipart", "delta_v2_json", "delta_v2_parquet", "iceberg_hadoop":
    shutil.rmtree(name, ignore_errors=True)
    shutil.move(f"{LAKE}/{name}", name)
for sums in glob.glob("**/.*.crc", recursive=True, include_hidden=True):
    os.remove(sums)
shutil.rmtree(LAKE)
