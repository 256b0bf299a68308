package harness;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** A program such as steps are, run once before the first of them. */
final class Rehearsal {
    private record Row(Object value, int index) {}

    private Rehearsal() {}

    static Object main(Map<String, Object> in) {
        List<Row> rows = new ArrayList<>();
        for (Object value : (List<?>) in.get("n")) rows.add(new Row(value, rows.size()));
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("text", rows.stream().map(row -> row.index() + "=" + row.value()).collect(Collectors.joining(", ")));
        out.put("rows", rows);
        System.out.println(String.format("%d rows", rows.size()));
        return out;
    }
}
