/** A stand-in: see {@link io.trino.spi}. */
package io.trino.spi.catalog;
