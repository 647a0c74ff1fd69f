package io.alio.trino;

import static java.util.concurrent.TimeUnit.MILLISECONDS;

import io.airlift.configuration.Config;
import io.airlift.configuration.ConfigDescription;
import io.airlift.configuration.ConfigSecuritySensitive;
import io.airlift.units.Duration;
import jakarta.validation.constraints.AssertTrue;
import jakarta.validation.constraints.Min;
import jakarta.validation.constraints.NotNull;
import java.util.List;

/** The catalog's {@code alio.*} properties. A property that is not here stops the server's start with its name, as Trino's own do. */
public class AlioConfig {
    /** Who reads what the sidecar lacks. */
    public enum Fill {
        /** The sidecar, with its own credentials; what it has no mount of is not cached. */
        READ_THROUGH,
        /** Trino, with the query's credentials; it hands the pages to the sidecar, which asks no origin. */
        CLIENT,
    }

    private boolean enabled = true;
    private String sidecar = "";
    private List<String> directories = List.of();
    private String token = "";
    private Duration deadline = new Duration(20, MILLISECONDS);
    private List<String> mounts = List.of();
    private Fill fill = Fill.READ_THROUGH;
    private int openSegments = 256;
    private boolean mapping;
    private boolean affinity;
    private boolean believeNotFound = true;

    public boolean isEnabled() {
        return enabled;
    }

    @Config("alio.enabled")
    @ConfigDescription("false: the connector is Trino's own, and asks no sidecar for anything")
    public AlioConfig setEnabled(boolean value) {
        enabled = value;
        return this;
    }

    @NotNull
    public String getSidecar() {
        return sidecar;
    }

    @Config("alio.sidecar")
    @ConfigDescription("The sidecar on this machine: the path of its Unix socket, or host:port, which wants alio.token")
    public AlioConfig setSidecar(String value) {
        sidecar = value;
        return this;
    }

    @AssertTrue(message = "alio.sidecar is not set: give the path of the sidecar's Unix socket, or host:port, or set alio.enabled=false")
    public boolean isSidecarKnown() {
        return !enabled || !sidecar.isEmpty();
    }

    @NotNull
    public List<String> getDirectories() {
        return directories;
    }

    @Config("alio.directories")
    @ConfigDescription("The sidecar's cache directories as this process sees them, for local reads; empty: all bytes travel through the connection")
    public AlioConfig setDirectories(List<String> value) {
        directories = List.copyOf(value);
        return this;
    }

    @NotNull
    public String getToken() {
        return token;
    }

    @Config("alio.token")
    @ConfigSecuritySensitive
    @ConfigDescription("What a sidecar on TCP wants to be shown")
    public AlioConfig setToken(String value) {
        token = value;
        return this;
    }

    @NotNull
    public Duration getDeadline() {
        return deadline;
    }

    @Config("alio.deadline")
    @ConfigDescription("How long the sidecar may take for an answer that needs no origin, before Trino reads without it")
    public AlioConfig setDeadline(Duration value) {
        deadline = value;
        return this;
    }

    @NotNull
    public List<String> getMounts() {
        return mounts;
    }

    @Config("alio.mounts")
    @ConfigDescription("Which locations lie in which mount of the sidecar: s3://bucket/folder=mount, hdfs://nameservice=mount. Else a bucket is its own mount")
    public AlioConfig setMounts(List<String> value) {
        mounts = List.copyOf(value);
        return this;
    }

    @AssertTrue(message = "alio.mounts has an entry that is not location=mount, such as hdfs://nameservice/warehouse=lake, or has one location twice")
    public boolean isMountsSensible() {
        try {
            Mounts.parse(mounts);
            return true;
        } catch (IllegalArgumentException e) {
            return false;
        }
    }

    @NotNull
    public Fill getFill() {
        return fill;
    }

    @Config("alio.fill")
    @ConfigDescription("Who reads what the sidecar lacks: READ_THROUGH, it does; CLIENT, Trino does and hands it over")
    public AlioConfig setFill(Fill value) {
        fill = value;
        return this;
    }

    @Min(1)
    public int getOpenSegments() {
        return openSegments;
    }

    @Config("alio.open-segments")
    @ConfigDescription("Bounds the sidecar's files that the catalog keeps open for local reads")
    public AlioConfig setOpenSegments(int value) {
        openSegments = value;
        return this;
    }

    public boolean isMapping() {
        return mapping;
    }

    @Config("alio.mapping")
    @ConfigDescription("Maps the sidecar's files instead of reading them: faster, but a device that hangs then stops the process")
    public AlioConfig setMapping(boolean value) {
        mapping = value;
        return this;
    }

    public boolean isAffinity() {
        return affinity;
    }

    @Config("alio.affinity")
    @ConfigDescription("Splits run on the workers that the affinity service of the coordinator's sidecar names, which must be members of one fleet")
    public AlioConfig setAffinity(boolean value) {
        affinity = value;
        return this;
    }

    public boolean isBelieveNotFound() {
        return believeNotFound;
    }

    @Config("alio.believe-not-found")
    @ConfigDescription("A file of a Delta log that the sidecar's origin has just said is not there is not asked for by Trino again. false where a mount is a copy of the location that may lag behind")
    public AlioConfig setBelieveNotFound(boolean value) {
        believeNotFound = value;
        return this;
    }
}
