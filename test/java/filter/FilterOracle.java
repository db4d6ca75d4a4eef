import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import org.apache.rocketmq.filter.FilterFactory;
import org.apache.rocketmq.filter.expression.EvaluationContext;
import org.apache.rocketmq.filter.expression.Expression;

/**
 * Says what Apache's own filter makes of expressions. A line of input is an expression and any number of property sets,
 * separated by tabs; an expression is base64, a set is NAME:VALUE pairs in base64 separated by commas. The answer is `E`
 * where the expression is refused, else a letter a set: T, F, N (null), X (evaluating threw), ? (no boolean).
 */
public class FilterOracle {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
        for (String line = in.readLine(); line != null; line = in.readLine()) out.println(answer(line.split("\t", -1)));
        out.flush();
    }

    private static String answer(String[] parts) {
        Expression expression;
        try {
            expression = FilterFactory.INSTANCE.get("SQL92").compile(text(parts[0]));
        } catch (Throwable e) {
            return "E";
        }
        StringBuilder letters = new StringBuilder();
        for (int i = 1; i < parts.length; i++) letters.append(evaluate(expression, properties(parts[i])));
        return letters.toString();
    }

    private static char evaluate(Expression expression, Map<String, String> properties) {
        try {
            Object answer = expression.evaluate(new EvaluationContext() {
                @Override public Object get(String name) {
                    return properties.get(name);
                }

                @Override public Map<String, Object> keyValues() {
                    return null;
                }
            });
            if (answer == null) return 'N';
            return answer == Boolean.TRUE ? 'T' : answer == Boolean.FALSE ? 'F' : '?';
        } catch (Throwable e) {
            return 'X';
        }
    }

    private static Map<String, String> properties(String set) {
        Map<String, String> properties = new HashMap<>();
        if (set.isEmpty()) return properties;
        for (String pair : set.split(",")) {
            String[] nameAndValue = pair.split(":");
            properties.put(text(nameAndValue[0]), text(nameAndValue[1]));
        }
        return properties;
    }

    private static String text(String base64) {
        return new String(Base64.getDecoder().decode(base64), StandardCharsets.UTF_8);
    }
}
