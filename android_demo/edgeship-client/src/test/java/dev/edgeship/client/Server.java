package dev.edgeship.client;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Serves files on loopback with Range, as a static web server does, on one connection each; tricks may answer first. */
final class Server implements AutoCloseable {
    /** Answers in place of the server; false: the server shall. */
    interface Trick {
        boolean answer(String path, OutputStream to) throws IOException, InterruptedException;
    }

    private final ServerSocket socket = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    final List<String> requests = Collections.synchronizedList(new ArrayList<>());
    /** Requests for less than a whole file. */
    volatile int ranges;
    volatile Map<String, byte[]> files = new HashMap<>();
    volatile Trick trick = (path, to) -> false;

    Server() throws IOException {
        Thread thread = new Thread(this::accept, "server");
        thread.setDaemon(true);
        thread.start();
    }

    String url() {
        return "http://127.0.0.1:" + socket.getLocalPort();
    }

    int port() {
        return socket.getLocalPort();
    }

    private void accept() {
        while (!socket.isClosed()) {
            try {
                Socket found = socket.accept();
                Thread thread = new Thread(() -> serve(found), "answer");
                thread.setDaemon(true);
                thread.start();
            } catch (IOException error) {
                return; // it was closed
            }
        }
    }

    private void serve(Socket found) {
        try (Socket connection = found) {
            BufferedReader from = new BufferedReader(new InputStreamReader(connection.getInputStream(), StandardCharsets.US_ASCII));
            String path = from.readLine().split(" ")[1].substring(1);
            long start = 0;
            for (String line = from.readLine(); line != null && !line.isEmpty(); line = from.readLine()) {
                if (line.startsWith("Range: bytes=")) start = Long.parseLong(line.substring(13).replace("-", ""));
            }
            requests.add(path);
            if (start > 0) ranges++;
            OutputStream to = connection.getOutputStream();
            if (!trick.answer(path, to)) answer(path, (int) start, to);
        } catch (IOException | InterruptedException error) {
            // clients that go away are what tests are about
        }
    }

    private void answer(String path, int start, OutputStream to) throws IOException {
        byte[] content = files.get(path);
        if (content == null) answer(to, "404 Not Found", "", new byte[0]);
        else if (start == 0) answer(to, "200 OK", "", content);
        else if (start >= content.length) answer(to, "416 Range Not Satisfiable", "", new byte[0]);
        else {
            String said = "Content-Range: bytes " + start + "-" + (content.length - 1) + "/" + content.length + "\r\n";
            answer(to, "206 Partial Content", said, Arrays.copyOfRange(content, start, content.length));
        }
    }

    static void answer(OutputStream to, String status, String headers, byte[] content) throws IOException {
        String head = "HTTP/1.1 " + status + "\r\nContent-Length: " + content.length + "\r\nConnection: close\r\n" + headers + "\r\n";
        to.write(head.getBytes(StandardCharsets.US_ASCII));
        to.write(content);
        to.flush();
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
