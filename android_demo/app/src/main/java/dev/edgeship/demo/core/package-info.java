/** All of the application that needs no Android: what runs on a JVM is tested there, with the system's own adb. */
package dev.edgeship.demo.core;
