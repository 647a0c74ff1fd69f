package io.alio.client.transport;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * One HTTP/2 connection. A thread of its own connects and reads; callers write. A frame is only written if it surely fits the socket's buffer, so that no
 * caller hangs in a write to a process that was stopped: what was written since anything was heard is bounded.
 */
final class Connection {
    static final int DATA = 0;
    static final int HEADERS = 1;
    static final int RESET = 3;
    static final int SETTINGS = 4;
    static final int PING = 6;
    static final int GOAWAY = 7;
    static final int WINDOW_UPDATE = 8;
    static final int CONTINUATION = 9;
    static final int ACK = 1;
    static final int END_STREAM = 1;
    static final int END_HEADERS = 4;

    private static final byte[] PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(java.nio.charset.StandardCharsets.US_ASCII);
    private static final int FRAME = 16 << 10; // of what is sent, and what every peer takes
    private static final int FIRST_WINDOW = 65_535;
    private static final int LAST_ID = 1 << 30; // then another connection is made
    private static final int SOCKET_BUFFER = 208 << 10; // what Linux grants without privileges, and then doubles
    private static final int UNHEARD = 128 << 10; // bytes, with OVERHEAD for each write, which the kernel counts too
    private static final int OVERHEAD = 1024;
    private static final int CANCEL = 8;

    private final Endpoint endpoint;
    private final ReentrantLock lock = new ReentrantLock(); // of writing, of the windows and of the list of calls
    private final Condition changed = lock.newCondition();
    private final Map<Integer, Call> calls = new HashMap<>();
    private final ByteBuffer out = ByteBuffer.allocateDirect(2 * FRAME);

    private Wire wire; // under the lock
    private String broken; // why, under the lock; null: it is not
    private boolean ready; // under the lock: calls can be made
    private boolean leaving; // under the lock: the other side takes no new calls
    private int nextId = 1;
    private long window = FIRST_WINDOW;
    private long callWindow = FIRST_WINDOW; // of new calls
    private long maxCalls = Long.MAX_VALUE;
    private final Set<Thread> interruptedWriters = new HashSet<>(); // in the middle of a call, under the lock
    private long unheard; // bytes written since anything was heard
    private boolean pinged; // since anything was heard
    private volatile boolean heard; // since a writer looked
    private volatile long heardAt = System.nanoTime();
    private volatile int waiting; // writers, for something to be heard; written under the lock

    Connection(Endpoint endpoint) {
        this.endpoint = endpoint;
    }

    void start() {
        Thread t = new Thread(this::run, "alio-client " + endpoint.name());
        t.setDaemon(true);
        t.start();
    }

    /** Whether new calls may be made, now or once it is connected. */
    boolean usable() {
        lock.lock();
        try {
            return broken == null && !leaving && nextId < LAST_ID;
        } finally {
            lock.unlock();
        }
    }

    /** Whether it was connected ever. */
    boolean wasReady() {
        lock.lock();
        try {
            return ready;
        } finally {
            lock.unlock();
        }
    }

    /** When anything came last, or the connection was begun. */
    long heardAt() {
        return heardAt;
    }

    void close(String why) {
        fail(why);
    }

    /** Begins a call. It returns once the request is sent, the deadline is over, or the connection broke: in the last two cases the call has ended. */
    Call call(byte[] headers, byte[] request, Sink sink, long deadline) {
        if (!lockBefore(deadline)) {
            return Call.failed("the connection is taken by others", false);
        }
        boolean interrupted = Thread.interrupted(); // it would close the channel for all
        try {
            while (broken == null && (!ready || calls.size() >= maxCalls)) {
                if (!waitBefore(deadline)) {
                    return Call.failed(ready ? "as many calls are under way as the sidecar takes" : "the connection is not made in time", false);
                }
            }
            if (broken != null) {
                return Call.failed(broken, ready);
            }
            if (!fits(headers.length + OVERHEAD) && !waitToFit(headers.length + OVERHEAD, deadline)) {
                return Call.failed("the sidecar does not read what it is sent", false);
            }
            if (broken != null) {
                return Call.failed(broken, ready);
            }
            Call c = new Call(this, nextId, sink);
            c.window = callWindow;
            nextId += 2;
            calls.put(c.id, c);
            send(c, headers, request, deadline);
            return c;
        } catch (IOException | RuntimeException e) { // also a thread's interruption within a write, which closes the channel
            failLocked("the connection broke: " + e);
            return Call.failed("the connection broke: " + e, true);
        } finally {
            unlock(interrupted);
        }
    }

    private boolean lockBefore(long deadline) {
        if (lock.tryLock()) {
            return true;
        }
        boolean interrupted = Thread.interrupted();
        try {
            while (true) {
                try {
                    return lock.tryLock(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private boolean waitBefore(long deadline) {
        long left = deadline - System.nanoTime();
        if (left <= 0) {
            return false;
        }
        try {
            changed.awaitNanos(left);
        } catch (InterruptedException e) {
            interruptedWriters.add(Thread.currentThread());
        }
        return true;
    }

    /** Sets the flags again that were cleared, since a write with one set would close the channel for all. */
    private void unlock(boolean interrupted) {
        boolean meanwhile = !interruptedWriters.isEmpty() && interruptedWriters.remove(Thread.currentThread());
        lock.unlock();
        if (interrupted || meanwhile) {
            Thread.currentThread().interrupt();
        }
    }

    /** Writes headers and request, as far as the windows allow, waiting for them to open. */
    private void send(Call c, byte[] headers, byte[] request, long deadline) throws IOException {
        frame(headers.length, HEADERS, END_HEADERS, c.id);
        out.put(headers);
        int total = request.length + 5;
        int sent = 0;
        while (sent < total) {
            int n = (int) Math.min(Math.min(total - sent, FRAME), Math.min(window, c.window));
            if (n <= 0 || !fits(out.position() + n + 9)) {
                flush();
                if (!(n <= 0 ? waitBefore(deadline) : waitToFit(n + 9, deadline))) {
                    giveUpSending(c);
                    return;
                }
                if (c.state() != Call.State.PENDING || broken != null) {
                    return;
                }
                continue;
            }
            window -= n;
            c.window -= n;
            if (out.remaining() < n + 9) {
                flush();
            }
            frame(n, DATA, sent + n == total ? END_STREAM : 0, c.id);
            for (; n > 0 && sent < 5; n--, sent++) {
                out.put((byte) (sent == 0 ? 0 : request.length >>> 8 * (4 - sent)));
            }
            if (n > 0) {
                out.put(request, sent - 5, n);
                sent += n;
            }
        }
        flush();
    }

    /** The request could not be sent whole before the deadline. */
    private void giveUpSending(Call c) throws IOException {
        calls.remove(c.id);
        changed.signalAll();
        if (c.finish(Call.State.GIVEN_UP, 0, "the sidecar does not take the request")) {
            frame(4, RESET, 0, c.id);
            out.putInt(CANCEL);
            flush();
        }
    }

    private void frame(int length, int type, int flags, int id) {
        out.put((byte) (length >>> 16)).put((byte) (length >>> 8)).put((byte) length).put((byte) type).put((byte) flags).putInt(id);
    }

    /** Whether so many bytes more surely fit the socket's buffer: what was written before anything was heard has been read. */
    private boolean fits(int bytes) {
        if (heard) {
            heard = false;
            unheard = 0;
            pinged = false;
        }
        return unheard + bytes + OVERHEAD <= UNHEARD;
    }

    /** Waits until there is room for so many bytes; false: not before the deadline. The other side is made to say that it has read. */
    private boolean waitToFit(int bytes, long deadline) throws IOException {
        waiting++;
        try {
            while (broken == null && !fits(bytes)) {
                if (!pinged) {
                    pinged = true;
                    frame(8, PING, 0, 0);
                    out.putLong(0);
                    flush();
                }
                if (!waitBefore(deadline)) {
                    return false;
                }
            }
            return true;
        } finally {
            waiting--;
        }
    }

    private void flush() throws IOException {
        out.flip();
        if (!out.hasRemaining()) {
            out.clear();
            return;
        }
        unheard += out.remaining() + OVERHEAD;
        try {
            wire.write(out);
        } finally {
            out.clear();
        }
    }

    /** Tells the other side that a call was given up. */
    void reset(Call c) {
        lock.lock();
        boolean interrupted = Thread.interrupted();
        try {
            if (calls.remove(c.id) == null || broken != null) {
                return;
            }
            changed.signalAll();
            if (fits(13)) { // else it need not know
                frame(4, RESET, 0, c.id);
                out.putInt(CANCEL);
                flush();
            }
        } catch (IOException e) {
            failLocked("the connection broke: " + e);
        } finally {
            unlock(interrupted);
        }
    }

    private void run() {
        String why;
        try {
            Wire w = endpoint.connect();
            if (!begin(w)) {
                w.close();
                return;
            }
            new FrameReader(this, w).run();
            why = "the sidecar closed the connection";
        } catch (IOException e) {
            why = e instanceof ProtocolException ? e.getMessage() : endpoint.explain(e);
        } catch (RuntimeException | Error e) { // a mistake of ours must not leave callers waiting
            why = "the connection's thread failed: " + e;
        }
        fail(why);
    }

    private boolean begin(Wire w) throws IOException {
        w.sendBuffer(SOCKET_BUFFER);
        lock.lock();
        try {
            if (broken != null) {
                return false;
            }
            wire = w;
            out.put(PREFACE);
            frame(4 * 6, SETTINGS, 0, 0);
            setting(1, 0); // header table: none
            setting(2, 0); // no push
            setting(4, Integer.MAX_VALUE); // window of a call: what is answered was asked for, and has its place
            setting(6, 64 << 10); // header list
            frame(4, WINDOW_UPDATE, 0, 0);
            out.putInt(Integer.MAX_VALUE - FIRST_WINDOW);
            flush();
            ready = true;
            changed.signalAll();
            return true;
        } finally {
            lock.unlock();
        }
    }

    private void setting(int id, int value) {
        out.putShort((short) id).putInt(value);
    }

    private void fail(String why) {
        lock.lock();
        try {
            failLocked(why);
        } finally {
            lock.unlock();
        }
    }

    private void failLocked(String why) {
        if (broken != null) {
            return;
        }
        broken = why;
        List<Call> all = new ArrayList<>(calls.values());
        calls.clear();
        changed.signalAll();
        if (wire != null) {
            try {
                wire.close();
            } catch (IOException e) {
                // it is gone in any case
            }
        }
        for (Call c : all) {
            c.lose(why);
        }
    }

    // What follows is called by the thread that reads.

    void hear() {
        heardAt = System.nanoTime();
        if (!heard) {
            heard = true;
            if (waiting > 0) {
                lock.lock();
                try {
                    changed.signalAll();
                } finally {
                    lock.unlock();
                }
            }
        }
    }

    Call find(int id) {
        lock.lock();
        try {
            return calls.get(id);
        } finally {
            lock.unlock();
        }
    }

    /** The call has ended at the other side. */
    void ended(Call c) {
        lock.lock();
        try {
            if (calls.remove(c.id) != null) {
                changed.signalAll();
            }
            if (leaving && calls.isEmpty()) {
                failLocked("the sidecar is shutting down"); // this was the last call; the caller of ended ends it
            }
        } finally {
            lock.unlock();
        }
    }

    void control(int type, int flags, byte[] payload) throws IOException {
        lock.lock();
        try {
            frame(payload.length, type, flags, 0);
            out.put(payload);
            flush();
        } finally {
            lock.unlock();
        }
    }

    void openWindow(int id, long by) throws ProtocolException {
        lock.lock();
        try {
            if (id == 0) {
                window += by;
            } else if (calls.get(id) != null) {
                calls.get(id).window += by;
            }
            if (window > Integer.MAX_VALUE) {
                throw new ProtocolException("the sidecar opened the window too far");
            }
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    void peerCallWindow(long size) {
        lock.lock();
        try {
            for (Call c : calls.values()) {
                c.window += size - callWindow;
            }
            callWindow = size;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    void peerMaxCalls(long n) {
        lock.lock();
        try {
            maxCalls = n;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** The other side takes no call after the last one that it names. */
    void leave(int last) {
        lock.lock();
        try {
            leaving = true;
            List<Call> over = new ArrayList<>();
            for (Call c : calls.values()) {
                if (c.id > last) {
                    over.add(c);
                }
            }
            for (Call c : over) {
                calls.remove(c.id);
                c.lose("the sidecar is shutting down");
            }
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }
}
