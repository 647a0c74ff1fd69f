// Made the hudi_ tables beside it, with hudi-java-client 1.1.1 (hudi-pom.xml names what it needs) and JDK 17; no Spark. Each name tells the type and the
// version of the table: cow9 and mor9 have layout 2 of the timeline and a metadata table, cow6 and mor6 have layout 1 and none.
//
//   mvn -q -B -f hudi-pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$JARS
//   javac -cp "$JARS/*" -d $OUT HudiTables.java
//   run() { java -Xmx1g -cp "$OUT:$JARS/*" HudiTables file:///lake/$*; }
//   run hudi_cow9 COPY_ON_WRITE true 8; run hudi_cow6 COPY_ON_WRITE false 8 6; run hudi_mor9 MERGE_ON_READ true 7; run hudi_mor6 MERGE_ON_READ false 7 6
//   run hudi_mor6_metadata MERGE_ON_READ true 7 6   # of this one hudi_mor6_metadata.paths has the names only
//   find /lake -name '*.crc' -delete
import org.apache.hudi.client.*; import org.apache.hudi.client.common.HoodieJavaEngineContext; import org.apache.hudi.common.model.*; import org.apache.hudi.common.table.*; import org.apache.hudi.common.util.Option;
import org.apache.hudi.common.config.*; import org.apache.hudi.config.*; import org.apache.hudi.index.HoodieIndex; import org.apache.hudi.storage.hadoop.HadoopStorageConfiguration; import org.apache.hudi.common.table.marker.MarkerType;
import org.apache.avro.*; import org.apache.avro.generic.*; import org.apache.hadoop.conf.Configuration; import java.util.*;
public class HudiTables {
 static final Schema S=new Schema.Parser().parse("{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"p\",\"type\":\"string\"},{\"name\":\"ts\",\"type\":\"long\"},{\"name\":\"v\",\"type\":\"double\"}]}");
 static List<HoodieRecord<DefaultHoodieRecordPayload>> recs(int from,int to,long ts,double v){ List<HoodieRecord<DefaultHoodieRecordPayload>> l=new ArrayList<>();
  for(int i=from;i<to;i++){ GenericRecord r=new GenericData.Record(S); r.put("id","k"+i); r.put("p","p"+(i%2)); r.put("ts",ts); r.put("v",v+i); l.add(new HoodieAvroRecord<>(new HoodieKey("k"+i,"p"+(i%2)),new DefaultHoodieRecordPayload(r,ts))); } return l; }
 public static void main(String[] a) throws Exception { String path=a[0]; HoodieTableType tt=HoodieTableType.valueOf(a[1]); boolean mdt=Boolean.parseBoolean(a[2]); int commits=Integer.parseInt(a[3]);
  Configuration c=new Configuration(); HadoopStorageConfiguration sc=new HadoopStorageConfiguration(c);
  HoodieTableMetaClient.newTableBuilder().setTableType(tt).setTableName("t").setPayloadClassName(DefaultHoodieRecordPayload.class.getName()).setRecordKeyFields("id").setPartitionFields("p").setOrderingFields("ts").setTableCreateSchema(S.toString()).setBaseFileFormat("PARQUET")
    .setTableVersion(a.length>4?HoodieTableVersion.fromVersionCode(Integer.parseInt(a[4])):HoodieTableVersion.current()).initTable(sc,path);
  HoodieWriteConfig.Builder b=HoodieWriteConfig.newBuilder().withPath(path).withSchema(S.toString()).withParallelism(1,1).withDeleteParallelism(1).forTable("t")
   .withIndexConfig(HoodieIndexConfig.newBuilder().withIndexType(HoodieIndex.IndexType.BLOOM).bloomFilterNumEntries(50).bloomFilterFPP(0.1).build())
   .withArchivalConfig(HoodieArchivalConfig.newBuilder().archiveCommitsWith(4,5).build())
   .withCleanConfig(HoodieCleanConfig.newBuilder().retainCommits(2).build())
   .withCompactionConfig(HoodieCompactionConfig.newBuilder().withInlineCompaction(tt==HoodieTableType.MERGE_ON_READ).withMaxNumDeltaCommitsBeforeCompaction(3).build())
   .withEmbeddedTimelineServerEnabled(false).withMarkersType(MarkerType.DIRECT.name()).withMetadataConfig(HoodieMetadataConfig.newBuilder().enable(mdt).build());
  if(a.length>4) b.withWriteTableVersion(Integer.parseInt(a[4])).withAutoUpgradeVersion(false);
  try(HoodieJavaWriteClient<DefaultHoodieRecordPayload> w=new HoodieJavaWriteClient<>(new HoodieJavaEngineContext(sc),b.build())){
   for(int i=0;i<commits;i++){ String t=w.startCommit(); var st=i==0?w.insert(recs(0,200,1,0),t):w.upsert(recs(i*10,i*10+20,i+1,1000*i),t); w.commit(t,st); System.out.println("commit "+t); }
   String t=w.startCommit(); var st=w.upsert(recs(0,5,99,7),t); w.commit(t,st); System.out.println("rollback of "+t+": "+w.rollback(t));
   t=w.startCommit(); w.commit(t,w.delete(new ArrayList<>(List.of(new HoodieKey("k1","p1"))),t));
  } System.exit(0);
 }}
