/**
 * The client of an update repository for the JVM and Android: TUF metadata, patches, two releases of which one is active, a
 * self-test before a release runs, and the way back. {@link dev.edgeship.client.Client} is where to begin.
 */
package dev.edgeship.client;
