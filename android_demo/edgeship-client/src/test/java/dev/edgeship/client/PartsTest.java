package dev.edgeship.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collections;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Parsers and decoders on their own. */
class PartsTest {
    private static String canonical(String text) throws RefusedException {
        return new String(Json.canonical(Json.parse(Bytes.encode(text), "it")), StandardCharsets.UTF_8);
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "", " ", "{", "[1,]", "{\"a\":1,\"a\":2}", "{\"a\":1,}", "01", "1.", ".5", "+1", "1e", "nul", "true false", "\"\t\"", "\"\\x\"",
        "\"\\u12\"", "\uFEFF{}", "'a'", "{a:1}", "[1 2]", "NaN", "-", "\"", "\"\\u00G0\""})
    void whatIsNoJsonIsRefused(String text) {
        assertThrows(RefusedException.class, () -> Json.parse(Bytes.encode(text), "it"));
    }

    @Test
    void jsonThatIsTooDeepOrNoUtf8IsRefused() throws Exception {
        String deep = String.join("", Collections.nCopies(64, "["));
        String ends = String.join("", Collections.nCopies(64, "]"));
        Json.parse(Bytes.encode(deep + ends), "it");
        assertThrows(RefusedException.class, () -> Json.parse(Bytes.encode("[[" + deep + ends + "]]"), "it"));
        assertThrows(RefusedException.class, () -> Json.parse(new byte[] {'"', (byte) 0xc0, (byte) 0x80, '"'}, "it"));
        byte[] endless = new byte[1 << 20];
        Arrays.fill(endless, (byte) '[');
        assertThrows(RefusedException.class, () -> Json.parse(endless, "it"));
    }

    @Test
    void canonicalJsonIsThatOfSecuresystemslib() throws Exception {
        assertEquals("{\"a\":[1,-2,true,null],\"b\":\"x\\\\\\\"\n/\u00e9\"}", canonical("{\"b\":\"x\\\\\\\"\\n\\/\\u00e9\", \"a\": [1, -2, true, null]}"));
        // U+FF5E comes before U+1F600, whose first half in UTF-16 is the smaller one.
        assertEquals("{\"\uff5e\":1,\"\ud83d\ude00\":2}", canonical("{\"\ud83d\ude00\":2,\"\uff5e\":1}"));
        for (String each : new String[] {"1.5", "1e3", "9007199254740992", "\"\\ud800\""}) {
            assertThrows(RefusedException.class, () -> canonical(each));
        }
        assertEquals("-9007199254740991", canonical("-9007199254740991"));
    }

    @Test
    void patternsOfPathsDoNotCrossSlashes() {
        assertTrue(Glob.matches("rollout/*/*.json", "rollout/points/v1.json"));
        assertFalse(Glob.matches("rollout/*/*.json", "rollout/points/a/v1.json"));
        assertFalse(Glob.matches("*", "a/b"));
        assertTrue(Glob.matches("a?[b-d][!x]", "aXcy"));
        assertFalse(Glob.matches("a?[b-d][!x]", "aXcx"));
        assertFalse(Glob.matches("a?b", "a/b"));
        assertTrue(Glob.matches("[]]", "]"));
        assertTrue(Glob.matches("[x", "[x"));
        String many = String.join("", Collections.nCopies(2000, "*a"));
        assertFalse(Glob.matches(many, String.join("", Collections.nCopies(5000, "b"))));
    }

    @Test
    void keysThatAreNoneSignNothing() throws Exception {
        String[] keys = {
            "{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"00\"}}",
            "{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"" + String.join("", Collections.nCopies(64, "f")) + "\"}}",
            "{\"keytype\":\"ecdsa\",\"scheme\":\"ecdsa-sha2-nistp256\",\"keyval\":{\"public\":\"-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----\"}}",
            "{\"keytype\":\"rsa\",\"scheme\":\"rsassa-pss-sha256\",\"keyval\":{\"public\":\"x\"}}"};
        for (String each : keys) {
            Key key = Key.read(Node.parse(Bytes.encode(each), "key"));
            for (String signature : new String[] {"", "zz", "3006020100020100", String.join("", Collections.nCopies(128, "0"))}) {
                assertFalse(key.verify(signature, new byte[3]));
            }
        }
    }

    @Test
    void storedFilesAreDecoded() throws Exception {
        for (Node each : Vectors.list(Vectors.read("stored.json").field("good"))) {
            int size = (int) each.field("size_bytes").integer(0);
            byte[] packed = Vectors.base64(each.field("packed"));
            Unpack.Encoding encoding = each.field("encoding").text().equals("br") ? Unpack.Encoding.BROTLI : Unpack.Encoding.ZSTD;
            byte[] made = Unpack.unpack(encoding, packed, size);
            assertEquals(each.field("sha256").text(), Bytes.sha256(made), each.field("name").text());
            assertThrows(RefusedException.class, () -> Unpack.unpack(encoding, packed, size + 1));
            if (size > 0) assertThrows(RefusedException.class, () -> Unpack.unpack(encoding, packed, size - 1));
        }
    }

    /** Whatever is broken is refused, or happens to decode to as many bytes: nothing else happens. */
    @Test
    void storedFilesThatAreBrokenAreRefused() throws Exception {
        Random random = new Random(7);
        int refused = 0;
        for (Node each : Vectors.list(Vectors.read("stored.json").field("good"))) {
            int size = (int) each.field("size_bytes").integer(0);
            byte[] packed = Vectors.base64(each.field("packed"));
            Unpack.Encoding encoding = each.field("encoding").text().equals("br") ? Unpack.Encoding.BROTLI : Unpack.Encoding.ZSTD;
            for (int i = 0; i < 100; i++) {
                byte[] broken = Arrays.copyOf(packed, i % 2 == 0 ? packed.length : random.nextInt(packed.length));
                if (i % 2 == 0) broken[random.nextInt(broken.length)] ^= (byte) (1 << random.nextInt(8));
                try {
                    assertEquals(size, Unpack.unpack(encoding, broken, size).length);
                } catch (RefusedException error) {
                    refused++;
                }
            }
        }
        assertTrue(refused > 1000, refused + " were refused");
    }

    @Test
    void quantizedTensorsAreRounded() {
        TensorSpec spec = new TensorSpec("x", Arrays.asList(1L, 3L), "int8", 0.5, 10);
        ByteBuffer data = ByteBuffer.allocate(12).order(ByteOrder.LITTLE_ENDIAN);
        data.putFloat(0.75f).putFloat(-1000).putFloat(1000).flip();
        Tensor stored = new Tensor("float32", new int[] {1, 3}, data).stored(spec);
        assertEquals(12, stored.get(0)); // 1.5 to even, as NumPy
        assertEquals(-128, stored.get(1));
        assertEquals(127, stored.get(2));
        assertEquals(1.0, stored.real(spec).get(0));
        assertThrows(IllegalArgumentException.class, () -> new Tensor("float32", new int[] {2}, ByteBuffer.allocate(4)));
    }

    @Test
    void optionsThatNobodyCanFollowAreRefused() throws Exception {
        File folder = new File("nowhere");
        byte[] none = {};
        for (String each : new String[] {"ftp://x", "https://x?y", "x"}) {
            assertThrows(InputException.class, () -> new Options(each, none, "a/v1", folder, null));
        }
        for (String each : new String[] {"a", "../v1", "a/v01", "a/b/v1", "A/v1"}) {
            assertThrows(InputException.class, () -> new Options("https://x", none, each, folder, null));
        }
        Options good = new Options("https://x/", none, "a/v1", folder, null);
        assertEquals("https://x", good.repository);
        assertThrows(InputException.class, () -> good.variants("int8"));
        assertThrows(InputException.class, () -> good.channel("Canary"));
        assertThrows(InputException.class, () -> new Client(good));
    }
}
