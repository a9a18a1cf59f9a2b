package dev.edgeship.client;

import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.interfaces.ECPublicKey;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.Base64;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bouncycastle.math.ec.rfc8032.Ed25519;

/** A public key as TUF metadata have it. P-256 is checked by the platform; Ed25519, which Android 12 lacks, is not. */
final class Key {
    private static final Pattern PEM =
            Pattern.compile("-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\\s]+)-----END PUBLIC KEY-----\\s*");
    /** Order of the group of P-256 (FIPS 186-4, D.1.2.3): no other curve has it. */
    private static final BigInteger P256 =
            new BigInteger("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16);

    final String type;
    final String scheme;
    /** Hexadecimal digits of 32 bytes for Ed25519, PEM for P-256. */
    final String material;

    private Key(String type, String scheme, String material) {
        this.type = type;
        this.scheme = scheme;
        this.material = material;
    }

    static Key read(Node node) throws RefusedException {
        String material = node.field("keyval").field("public").text();
        return new Key(node.field("keytype").text(), node.field("scheme").text(), material);
    }

    /**
     * Whether a signature is by this key. What is no signature, or by a kind of key that clients of edgeship do not take,
     * is none.
     *
     * @param signature hexadecimal digits: 64 bytes for Ed25519, DER for ECDSA.
     */
    boolean verify(String signature, byte[] content) {
        byte[] given = Bytes.unhex(signature);
        if (given == null) return false;
        if (type.equals("ed25519") && scheme.equals("ed25519")) {
            byte[] raw = Bytes.unhex(material);
            if (raw == null || raw.length != Ed25519.PUBLIC_KEY_SIZE || given.length != Ed25519.SIGNATURE_SIZE) return false;
            return Ed25519.verify(given, 0, raw, 0, content, 0, content.length);
        }
        boolean isP256 = scheme.equals("ecdsa-sha2-nistp256") && (type.equals("ecdsa") || type.equals(scheme));
        return isP256 && isSignature(given) && ecdsa(given, content);
    }

    private boolean ecdsa(byte[] signature, byte[] content) {
        Matcher found = PEM.matcher(material);
        if (!found.matches()) return false;
        try {
            byte[] encoded = Base64.getDecoder().decode(found.group(1).replaceAll("\\s", ""));
            PublicKey key = KeyFactory.getInstance("EC").generatePublic(new X509EncodedKeySpec(encoded));
            if (!((ECPublicKey) key).getParams().getOrder().equals(P256)) return false;
            Signature verifier = Signature.getInstance("SHA256withECDSA");
            verifier.initVerify(key);
            verifier.update(content);
            return verifier.verify(signature);
        } catch (GeneralSecurityException | IllegalArgumentException error) {
            return false; // no key, or no signature
        }
    }

    /**
     * SEQUENCE { INTEGER r, INTEGER s }, each in its shortest form and within the group. Some platforms took zeros for a
     * signature of everything (CVE-2022-21449).
     */
    private static boolean isSignature(byte[] der) {
        int at = 2;
        for (int part = 0; part < 2; part++) {
            if (at + 2 > der.length || der[at] != 2) return false;
            int length = der[at + 1];
            at += 2;
            if (length < 1 || length > 33 || at + length > der.length) return false;
            boolean padded = length > 1 && der[at] == 0 && der[at + 1] >= 0;
            byte[] digits = Arrays.copyOfRange(der, at, at + length);
            BigInteger number = new BigInteger(digits);
            if (padded || number.signum() <= 0 || number.compareTo(P256) >= 0) return false;
            at += length;
        }
        return at == der.length && der[0] == 48 && der[1] == der.length - 2;
    }
}
