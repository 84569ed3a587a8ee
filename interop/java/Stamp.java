import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.math.BigInteger;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.security.Security;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertStore;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Date;
import java.util.List;
import java.util.Set;

import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.tsp.TSPAlgorithms;
import org.bouncycastle.tsp.TSPException;
import org.bouncycastle.tsp.TimeStampRequest;
import org.bouncycastle.tsp.TimeStampRequestGenerator;
import org.bouncycastle.tsp.TimeStampResponse;
import org.bouncycastle.tsp.TimeStampToken;

/**
 * Asks for and judges timestamps with Bouncy Castle.
 *
 * <pre>
 * Stamp ask URL HASH FILE OUT.tsq OUT.tsr
 * Stamp verify ROOT.pem FILE IN.tsq IN.tsr...
 * </pre>
 *
 * A request named "-" is not compared. Of a file ending in .tst, which is a bare token, the request is
 * compared with the imprint only. One line is printed for each response or token.
 *
 * Exit status: 0 all verify, 1 one does not, 2 wrong usage.
 */
final class Stamp {
    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        try {
            if (args.length == 6 && args[0].equals("ask")) {
                ask(args[1], args[2], Path.of(args[3]), Path.of(args[4]), Path.of(args[5]));
            } else if (args.length >= 5 && args[0].equals("verify")) {
                boolean all = true;
                for (String name : Arrays.copyOfRange(args, 4, args.length)) {
                    all &= judge(Path.of(args[1]), Path.of(args[2]), args[3], Path.of(name));
                }
                System.exit(all ? 0 : 1);
            } else {
                System.err.println("usage: Stamp ask URL HASH FILE TSQ TSR | verify ROOT FILE TSQ TSR...");
                System.exit(2);
            }
        } catch (TSPException | java.security.GeneralSecurityException | java.io.IOException e) {
            System.err.println(e.getClass().getSimpleName() + ": " + e.getMessage());
            System.exit(1);
        }
    }

    private static void ask(String url, String hash, Path file, Path tsq, Path tsr) throws Exception {
        byte[] digest = MessageDigest.getInstance(hash).digest(Files.readAllBytes(file));
        TimeStampRequestGenerator generator = new TimeStampRequestGenerator();
        generator.setCertReq(true);
        var algorithm = switch (hash) {
            case "SHA-256" -> TSPAlgorithms.SHA256;
            case "SHA-384" -> TSPAlgorithms.SHA384;
            case "SHA-512" -> TSPAlgorithms.SHA512;
            default -> throw new IllegalArgumentException(hash);
        };
        TimeStampRequest request = generator.generate(algorithm, digest, new BigInteger(64, new SecureRandom()));
        Files.write(tsq, request.getEncoded());

        HttpURLConnection connection = (HttpURLConnection) URI.create(url).toURL().openConnection();
        connection.setDoOutput(true);
        connection.setRequestProperty("Content-Type", "application/timestamp-query");
        try (OutputStream out = connection.getOutputStream()) {
            out.write(request.getEncoded());
        }
        try (InputStream in = connection.getInputStream()) {
            Files.write(tsr, in.readAllBytes());
        }
        if (!"application/timestamp-reply".equals(connection.getContentType())) {
            throw new java.io.IOException("content type " + connection.getContentType());
        }
    }

    /** Prints the verdict on one response or token. */
    private static boolean judge(Path root, Path file, String tsq, Path tsr) {
        try {
            System.out.println("verified " + tsr + " " + verify(root, file, tsq, tsr).toInstant());
            return true;
        } catch (Exception e) {
            // Whatever it is, malformed input has led to it.
            System.out.println("refused " + tsr + " " + e.getClass().getSimpleName() + ": " + e.getMessage());
            return false;
        }
    }

    private static TimeStampToken read(String tsq, Path tsr) throws Exception {
        if (tsr.toString().endsWith(".tst")) {
            return new TimeStampToken(new CMSSignedData(Files.readAllBytes(tsr)));
        }
        TimeStampResponse response = new TimeStampResponse(Files.readAllBytes(tsr));
        if (!tsq.equals("-")) {
            response.validate(new TimeStampRequest(Files.readAllBytes(Path.of(tsq))));
        }
        if (response.getTimeStampToken() == null) {
            throw new TSPException("no token, status " + response.getStatus() + ": " + response.getStatusString());
        }
        return response.getTimeStampToken();
    }

    private static Date verify(Path root, Path file, String tsq, Path tsr) throws Exception {
        TimeStampToken token = read(tsq, tsr);
        MessageDigest digest = MessageDigest.getInstance(
                token.getTimeStampInfo().getHashAlgorithm().getAlgorithm().getId(), "BC");
        if (!Arrays.equals(digest.digest(Files.readAllBytes(file)), token.getTimeStampInfo().getMessageImprintDigest())) {
            throw new TSPException("the token is for other data");
        }

        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        List<X509Certificate> certificates = new ArrayList<>();
        for (X509CertificateHolder holder : token.getCertificates().getMatches(null)) {
            certificates.add((X509Certificate) factory.generateCertificate(new ByteArrayInputStream(holder.getEncoded())));
        }
        @SuppressWarnings("unchecked") // SignerId selects certificate holders and nothing else.
        Collection<X509CertificateHolder> signers = token.getCertificates().getMatches(token.getSID());
        if (signers.size() != 1) {
            throw new TSPException(signers.size() + " certificates match the signer");
        }
        X509CertificateHolder signer = signers.iterator().next();
        token.validate(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(signer));

        X509Certificate anchor = (X509Certificate) factory.generateCertificate(Files.newInputStream(root));
        X509CertSelector target = new X509CertSelector();
        target.setCertificate((X509Certificate) factory.generateCertificate(new ByteArrayInputStream(signer.getEncoded())));
        PKIXBuilderParameters parameters = new PKIXBuilderParameters(Set.of(new TrustAnchor(anchor, null)), target);
        parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(certificates)));
        parameters.setRevocationEnabled(false);
        Date time = token.getTimeStampInfo().getGenTime();
        parameters.setDate(time);
        CertPathBuilder.getInstance("PKIX").build(parameters);
        return time;
    }

    private Stamp() {}
}
