/**
 * A STAND-IN, not Trino's code: the few types of the SPI of Trino 484 and later that a manager of blob caches meets, written down from its sources as they were read
 * (pull request 29184 and the files of release 484). That SPI is in no repository that this was built from. The module is never shipped: the manager is compiled against it, and meets
 * the real types in the server. When trino-spi 484 can be had, this module is to be replaced by it, and what does not compile then is what was read wrongly.
 */
package io.trino.spi;
