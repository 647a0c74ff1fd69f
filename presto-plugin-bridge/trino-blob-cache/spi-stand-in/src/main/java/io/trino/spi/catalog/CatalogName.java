package io.trino.spi.catalog;

/** Stand-in: the name of a catalog. */
public record CatalogName(String name) {
    @Override
    public String toString() {
        return name;
    }
}
