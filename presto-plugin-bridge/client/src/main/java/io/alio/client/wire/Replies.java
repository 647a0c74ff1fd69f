package io.alio.client.wire;

import io.alio.client.transport.ProtocolException;
import java.util.ArrayList;
import java.util.List;

/** The answers. Each has the fields of its message in alio.proto; those that nobody uses are left out. */
public final class Replies {
    private static final int[] NONE = {};
    private static final byte[] NO_BYTES = {};

    private Replies() {}

    /** StatusReply. */
    public static final class Status {
        public String build = "";
        public long process;
        public final List<String> mounts = new ArrayList<>();
        public final List<Directory> directories = new ArrayList<>();
        public int maxFiles;
        public int maxPutBytes;

        public static Status parse(byte[] b) throws ProtocolException {
            Status s = new Status();
            ProtoReader r = new ProtoReader(b);
            while (r.next()) {
                switch (r.field()) {
                    case 2:
                        s.build = r.string();
                        break;
                    case 3:
                        s.process = r.fixed64();
                        break;
                    case 4:
                        s.mounts.add(r.string());
                        break;
                    case 5:
                        s.directories.add(Directory.parse(r.message()));
                        break;
                    case 6:
                        s.maxFiles = r.int32();
                        break;
                    case 7:
                        s.maxPutBytes = r.int32();
                        break;
                    default:
                        r.skip();
                }
            }
            return s;
        }
    }

    /** Directory. */
    public static final class Directory {
        public int number;
        public String id = "";

        static Directory parse(ProtoReader r) throws ProtocolException {
            Directory d = new Directory();
            while (r.next()) {
                switch (r.field()) {
                    case 1:
                        d.number = r.int32();
                        break;
                    case 2:
                        d.id = r.string();
                        break;
                    default:
                        r.skip();
                }
            }
            return d;
        }
    }

    /** Object. */
    public static final class ObjectInfo {
        public String path = "";
        public String version = "";
        public long size;
        public long modifiedMillis;
        public String etag = "";

        static ObjectInfo parse(ProtoReader r) throws ProtocolException {
            ObjectInfo o = new ObjectInfo();
            while (r.next()) {
                switch (r.field()) {
                    case 1:
                        o.path = r.string();
                        break;
                    case 2:
                        o.version = r.string();
                        break;
                    case 3:
                        o.size = r.number();
                        break;
                    case 4:
                        o.modifiedMillis = r.number();
                        break;
                    case 5:
                        o.etag = r.string();
                        break;
                    default:
                        r.skip();
                }
            }
            return o;
        }
    }

    /** StatReply's object; null if there is none. */
    public static ObjectInfo parseStat(byte[] b) throws ProtocolException {
        ObjectInfo o = null;
        ProtoReader r = new ProtoReader(b);
        while (r.next()) {
            if (r.field() == 1) {
                o = ObjectInfo.parse(r.message());
            } else {
                r.skip();
            }
        }
        return o;
    }

    /** ListReply. */
    public static final class ObjectList {
        public final List<ObjectInfo> objects = new ArrayList<>();
        public final List<String> commonPrefixes = new ArrayList<>();
        public String nextToken = "";

        public static ObjectList parse(byte[] b) throws ProtocolException {
            ObjectList l = new ObjectList();
            ProtoReader r = new ProtoReader(b);
            while (r.next()) {
                switch (r.field()) {
                    case 1:
                        l.objects.add(ObjectInfo.parse(r.message()));
                        break;
                    case 2:
                        l.commonPrefixes.add(r.string());
                        break;
                    case 3:
                        l.nextToken = r.string();
                        break;
                    default:
                        r.skip();
                }
            }
            return l;
        }
    }

    /** OpenReply. */
    public static final class Open {
        public final List<OpenedFile> files = new ArrayList<>();
        public final List<Segment> segments = new ArrayList<>();
        public long generation;
        public boolean forget;
        public final List<Segment> retired = new ArrayList<>();

        public static Open parse(byte[] b) throws ProtocolException {
            Open o = new Open();
            ProtoReader r = new ProtoReader(b);
            while (r.next()) {
                switch (r.field()) {
                    case 1:
                        o.files.add(OpenedFile.parse(r.message()));
                        break;
                    case 2:
                        o.segments.add(Segment.parse(r.message()));
                        break;
                    case 3:
                        o.generation = r.number();
                        break;
                    case 4:
                        o.forget = r.bool();
                        break;
                    case 5:
                        o.retired.add(Segment.parse(r.message()));
                        break;
                    default:
                        r.skip();
                }
            }
            return o;
        }
    }

    /** Segment. */
    public static final class Segment {
        public int directory;
        public long instance;
        public long seq;

        static Segment parse(ProtoReader r) throws ProtocolException {
            Segment s = new Segment();
            while (r.next()) {
                switch (r.field()) {
                    case 1:
                        s.directory = r.int32();
                        break;
                    case 2:
                        s.instance = r.fixed64();
                        break;
                    case 3:
                        s.seq = r.number();
                        break;
                    default:
                        r.skip();
                }
            }
            return s;
        }
    }

    /** OpenedFile. */
    public static final class OpenedFile {
        /** Whether there is an error; then nothing else is set. */
        public boolean failed;

        public int errorCode;
        public String errorMessage = "";
        public boolean errorAsked;
        public ObjectInfo object;
        public long freshForMicros;
        public final List<Part> parts = new ArrayList<>();
        public final List<Extent> extents = new ArrayList<>();
        public byte[] claimToken;
        public long claimMillis;

        static OpenedFile parse(ProtoReader r) throws ProtocolException {
            OpenedFile f = new OpenedFile();
            while (r.next()) {
                switch (r.field()) {
                    case 1:
                        f.error(r.message());
                        break;
                    case 2:
                        f.object = ObjectInfo.parse(r.message());
                        break;
                    case 3:
                        f.freshForMicros = r.number();
                        break;
                    case 4:
                        f.parts.add(Part.parse(r.message()));
                        break;
                    case 5:
                        f.extents.add(Extent.parse(r.message()));
                        break;
                    case 6:
                        f.claim(r.message());
                        break;
                    default:
                        r.skip();
                }
            }
            return f;
        }

        private void error(ProtoReader r) throws ProtocolException {
            failed = true;
            while (r.next()) {
                switch (r.field()) {
                    case 1:
                        errorCode = r.int32();
                        break;
                    case 2:
                        errorMessage = r.string();
                        break;
                    case 3:
                        errorAsked = r.number() != 0;
                        break;
                    default:
                        r.skip();
                }
            }
        }

        private void claim(ProtoReader r) throws ProtocolException {
            claimToken = NO_BYTES;
            while (r.next()) {
                switch (r.field()) {
                    case 1:
                        claimToken = r.bytes();
                        break;
                    case 2:
                        claimMillis = r.number();
                        break;
                    default:
                        r.skip();
                }
            }
        }
    }

    /** Part. */
    public static final class Part {
        public long offset;
        public long length;
        public byte[] key = NO_BYTES;

        static Part parse(ProtoReader r) throws ProtocolException {
            Part p = new Part();
            while (r.next()) {
                switch (r.field()) {
                    case 1:
                        p.offset = r.number();
                        break;
                    case 2:
                        p.length = r.number();
                        break;
                    case 3:
                        p.key = r.bytes();
                        break;
                    default:
                        r.skip();
                }
            }
            return p;
        }
    }

    /** Extent. Its numbers have 32 bits without a sign. */
    public static final class Extent {
        public long offset;
        public int[] lengths = NONE;
        public int[] counts = NONE;
        public byte[] classes = NO_BYTES;
        public int[] placed = NONE;
        public int[] segments = NONE;
        public int[] records = NONE;
        public int[] memory = NONE;
        public int[] granted = NONE;

        static Extent parse(ProtoReader r) throws ProtocolException {
            Extent e = new Extent();
            while (r.next()) {
                switch (r.field()) {
                    case 1:
                        e.offset = r.number();
                        break;
                    case 2:
                        e.lengths = r.repeated(e.lengths);
                        break;
                    case 3:
                        e.counts = r.repeated(e.counts);
                        break;
                    case 4:
                        e.classes = r.bytes();
                        break;
                    case 5:
                        e.placed = r.repeated(e.placed);
                        break;
                    case 6:
                        e.segments = r.repeated(e.segments);
                        break;
                    case 7:
                        e.records = r.repeated(e.records);
                        break;
                    case 8:
                        e.memory = r.repeated(e.memory);
                        break;
                    case 9:
                        e.granted = r.repeated(e.granted);
                        break;
                    default:
                        r.skip();
                }
            }
            return e;
        }
    }

    /** PutReply. */
    public static final class Put {
        public long stored;
        public boolean openAgain;

        public static Put parse(byte[] b) throws ProtocolException {
            Put p = new Put();
            ProtoReader r = new ProtoReader(b);
            while (r.next()) {
                switch (r.field()) {
                    case 1:
                        p.stored = r.number();
                        break;
                    case 2:
                        p.openAgain = r.bool();
                        break;
                    default:
                        r.skip();
                }
            }
            return p;
        }
    }

    /** AssignReply. */
    public static final class Assigned {
        public final List<String> workers = new ArrayList<>(); // of the members that are named
        public final List<int[]> assignments = new ArrayList<>(); // places in workers; none: the split was malformed

        public static Assigned parse(byte[] b) throws ProtocolException {
            Assigned a = new Assigned();
            ProtoReader r = new ProtoReader(b);
            while (r.next()) {
                switch (r.field()) {
                    case 3:
                        a.workers.add(worker(r.message()));
                        break;
                    case 4:
                        a.assignments.add(owners(r.message()));
                        break;
                    default:
                        r.skip();
                }
            }
            return a;
        }

        private static String worker(ProtoReader r) throws ProtocolException {
            String worker = "";
            while (r.next()) {
                if (r.field() == 2) {
                    worker = r.string();
                } else {
                    r.skip();
                }
            }
            return worker;
        }

        private static int[] owners(ProtoReader r) throws ProtocolException {
            int[] owners = NONE;
            while (r.next()) {
                if (r.field() == 1) {
                    owners = r.repeated(owners);
                } else {
                    r.skip();
                }
            }
            return owners;
        }
    }

    /** WatchReply. */
    public static final class Watched {
        public boolean edits;
        public boolean last;
        public byte[] data = NO_BYTES;

        public static Watched parse(byte[] b) throws ProtocolException {
            Watched w = new Watched();
            ProtoReader r = new ProtoReader(b);
            while (r.next()) {
                switch (r.field()) {
                    case 2:
                        w.edits = r.bool();
                        break;
                    case 3:
                        w.last = r.bool();
                        break;
                    case 15:
                        w.data = r.bytes();
                        break;
                    default:
                        r.skip();
                }
            }
            return w;
        }
    }
}
