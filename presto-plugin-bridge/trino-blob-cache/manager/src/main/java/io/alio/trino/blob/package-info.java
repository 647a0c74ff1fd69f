/**
 * Trino 484 and later reads through the sidecar by its own interface for caches, one manager for all catalogs and connectors. Trino's key names the file and its version, so pages are
 * client-filled: Trino reads what is missing with the query's credentials and hands it over. Compiled and tested against a stand-in of that interface; it has not run in a server.
 */
package io.alio.trino.blob;
