import java.io.File;
import java.io.FileInputStream;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import org.codehaus.mojo.animal_sniffer.SignatureChecker;
import org.codehaus.mojo.animal_sniffer.logging.PrintWriterLogger;

/** {@code ApiCheck SIGNATURES CLASSES IGNORED...}: names calls of what an API level does not have; status 1 if there are any. */
final class ApiCheck {
    public static void main(String[] given) throws Exception {
        HashSet<String> ignored = new HashSet<>(Arrays.asList(given).subList(2, given.length));
        try (FileInputStream signatures = new FileInputStream(given[0])) {
            SignatureChecker checker = new SignatureChecker(signatures, ignored, new PrintWriterLogger(System.out));
            checker.setSourcePath(List.of());
            checker.process(new File(given[1]));
            System.exit(checker.isSignatureBroken() ? 1 : 0);
        }
    }
}
