// pgjdbc against one tenant. Prints a line a check: "ok NAME" or "failed NAME: REASON".
// tests/support/foreign.py says what the environment holds.

import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

public class Checks {
    interface Check {
        void run(Connection connection) throws Exception;
    }

    static final int LARGE = 20 * 1024 * 1024;
    static String url;
    static Properties properties;
    static boolean copyIn;

    static Connection connect() throws SQLException {
        return DriverManager.getConnection(url, properties);
    }

    static String unique(String prefix) {
        return prefix + "-" + UUID.randomUUID();
    }

    static void same(Object found, Object expected) {
        if (!String.valueOf(expected).equals(String.valueOf(found)))
            throw new AssertionError("expected " + expected + ", found " + found);
    }

    static Object value(Connection connection, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++)
                statement.setObject(i + 1, values[i]);
            try (ResultSet rows = statement.executeQuery()) {
                return rows.next() ? rows.getObject(1) : null;
            }
        }
    }

    static int change(Connection connection, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++)
                statement.setObject(i + 1, values[i]);
            return statement.executeUpdate();
        }
    }

    static void fails(String sqlstate, Check check, Connection connection) throws Exception {
        try {
            check.run(connection);
        } catch (SQLException error) {
            same(error.getSQLState(), sqlstate);
            return;
        }
        throw new AssertionError("no error " + sqlstate);
    }

    static void insertSelect(Connection connection) throws Exception {
        String name = unique("n");
        change(connection, "INSERT INTO thing (name, amount) VALUES (?, ?)", name, 5);
        same(value(connection, "SELECT amount FROM thing WHERE name = ?", name), "5.00");
    }

    static void generatedKeys(Connection connection) throws Exception {
        String name = unique("n");
        try (PreparedStatement statement = connection.prepareStatement(
                 "INSERT INTO thing (name) VALUES (?)", new String[] {"id"})) {
            statement.setString(1, name);
            statement.executeUpdate();
            try (ResultSet keys = statement.getGeneratedKeys()) {
                keys.next();
                same(value(connection, "SELECT name FROM thing WHERE id = ?", keys.getLong(1)), name);
            }
        }
    }

    static void transactions(Connection connection) throws Exception {
        String kept = unique("kept");
        String lost = unique("lost");
        connection.setAutoCommit(false);
        change(connection, "INSERT INTO thing (name) VALUES (?)", kept);
        Savepoint savepoint = connection.setSavepoint();
        change(connection, "INSERT INTO thing (name) VALUES (?)", lost);
        connection.rollback(savepoint);
        connection.commit();
        change(connection, "INSERT INTO thing (name) VALUES (?)", lost);
        connection.rollback();
        connection.setAutoCommit(true);
        same(value(connection, "SELECT string_agg(name, ' ') FROM thing WHERE name IN (?, ?)", kept,
                 lost), kept);
    }

    static void isolationLevel(Connection connection) throws Exception {
        connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        connection.setAutoCommit(false);
        same(value(connection, "SHOW transaction_isolation"), "serializable");
        connection.rollback();
        connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        same(value(connection, "SHOW transaction_isolation"), "read committed");
        connection.rollback();
    }

    /** pgjdbc makes a named statement of one that was run five times. */
    static void prepared1000(Connection connection) throws Exception {
        try (Connection other = connect();
             PreparedStatement one = connection.prepareStatement("SELECT ?::int + 1");
             PreparedStatement two = other.prepareStatement("SELECT ?::int + 1")) {
            for (int i = 0; i < 1000; i++) {
                PreparedStatement each = i % 2 == 0 ? one : two;
                each.setInt(1, i);
                try (ResultSet rows = each.executeQuery()) {
                    rows.next();
                    same(rows.getInt(1), i + 1);
                }
            }
        }
    }

    static void errors(Connection connection) throws Exception {
        fails("42601", c -> value(c, "SELEKT"), connection);
        fails("22012", c -> value(c, "SELECT 1 / ?", 0), connection);
        fails("42P01", c -> value(c, "SELECT * FROM nowhere"), connection);
        fails("23502", c -> change(c, "INSERT INTO thing (name) VALUES (NULL)"), connection);
        same(value(connection, "SELECT 1"), 1);
    }

    static void failedTransaction(Connection connection) throws Exception {
        connection.setAutoCommit(false);
        fails("22012", c -> value(c, "SELECT 1 / 0"), connection);
        fails("25P02", c -> value(c, "SELECT 1"), connection);
        connection.rollback();
        same(value(connection, "SELECT 1"), 1);
    }

    static void batch(Connection connection) throws Exception {
        String prefix = unique("batch");
        try (PreparedStatement statement =
                 connection.prepareStatement("INSERT INTO thing (name, amount) VALUES (?, ?)")) {
            for (int i = 0; i < 1000; i++) {
                statement.setString(1, prefix + i);
                statement.setInt(2, i);
                statement.addBatch();
            }
            same(Arrays.stream(statement.executeBatch()).sum(), 1000);
        }
        same(value(connection, "SELECT count(*) FROM thing WHERE name LIKE ?", prefix + "%"), 1000);
    }

    static void batchWithError(Connection connection) throws Exception {
        String prefix = unique("batch");
        connection.setAutoCommit(false);
        try (PreparedStatement statement =
                 connection.prepareStatement("INSERT INTO thing (name, amount) VALUES (?, ?)")) {
            for (int i = 0; i < 100; i++) {
                statement.setString(1, prefix + i);
                statement.setInt(2, 50 - i);
                statement.addBatch();
            }
            try {
                statement.executeBatch();
                throw new AssertionError("no error");
            } catch (BatchUpdateException error) {
                same(error.getSQLState(), "23514");
            }
        }
        connection.rollback();
        same(value(connection, "SELECT count(*) FROM thing WHERE name LIKE ?", prefix + "%"), 0);
    }

    /** Execute with a row limit: a suspended portal. */
    static void fetchSize(Connection connection) throws Exception {
        connection.setAutoCommit(false);
        long total = 0;
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(90);
            try (ResultSet rows = statement.executeQuery("SELECT i FROM generate_series(1, 1000) i")) {
                while (rows.next())
                    total += rows.getInt(1);
            }
        }
        connection.commit();
        same(total, 500500);
    }

    static void copyOut(Connection connection) throws Exception {
        CopyManager manager = connection.unwrap(PGConnection.class).getCopyAPI();
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        manager.copyOut("COPY (SELECT i FROM generate_series(1, 1000) i) TO STDOUT", out);
        same(out.toString(StandardCharsets.UTF_8).split("\n").length, 1000);
    }

    static void copyIn(Connection connection) throws Exception {
        CopyManager manager = connection.unwrap(PGConnection.class).getCopyAPI();
        String prefix = unique("copy");
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < 1000; i++)
            lines.append(prefix).append(i).append('\t').append(i).append('\n');
        Check load = c -> manager.copyIn("COPY thing (name, amount) FROM STDIN",
                                         new StringReader(lines.toString()));
        if (!copyIn) {
            fails("0A000", load, connection);
            return;
        }
        load.run(connection);
        same(value(connection, "SELECT count(*) FROM thing WHERE name LIKE ?", prefix + "%"), 1000);
    }

    static void large(Connection connection) throws Exception {
        String name = unique("large");
        String body = "j".repeat(LARGE);
        byte[] data = new byte[LARGE];
        Arrays.fill(data, (byte) 9);
        change(connection, "INSERT INTO thing (name, body, data) VALUES (?, ?, ?)", name, body, data);
        try (PreparedStatement statement =
                 connection.prepareStatement("SELECT body, data FROM thing WHERE name = ?")) {
            statement.setString(1, name);
            try (ResultSet rows = statement.executeQuery()) {
                rows.next();
                if (!rows.getString(1).equals(body) || !Arrays.equals(rows.getBytes(2), data))
                    throw new AssertionError("large values differ");
            }
        }
        change(connection, "DELETE FROM thing WHERE name = ?", name);
    }

    static void cancel(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            CompletableFuture<SQLException> waiting = CompletableFuture.supplyAsync(() -> {
                try {
                    statement.execute("SELECT pg_sleep(60)");
                    return null;
                } catch (SQLException error) {
                    return error;
                }
            });
            /* Statement.cancel sends one request alone, maybe before the query, which then is for
             * nothing. */
            SQLException error = null;
            for (int i = 0; i < 100 && !waiting.isDone(); i++) {
                connection.unwrap(PGConnection.class).cancelQuery();
                try {
                    error = waiting.get(300, TimeUnit.MILLISECONDS);
                } catch (TimeoutException again) {
                    continue;
                }
            }
            same(error == null ? null : error.getSQLState(), "57014");
        }
        for (int i = 0; i < 20; i++)
            same(value(connection, "SELECT ?::int", i), i);
    }

    /** Statement.setQueryTimeout cancels from a timer of the driver's. */
    static void queryTimeout(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            fails("57014", c -> statement.execute("SELECT pg_sleep(60)"), connection);
        }
        same(value(connection, "SELECT 1"), 1);
    }

    static void metadata(Connection connection) throws Exception {
        StringBuilder names = new StringBuilder();
        try (ResultSet columns = connection.getMetaData().getColumns(
                 null, connection.getSchema(), "part", "label")) {
            while (columns.next())
                names.append(columns.getString("COLUMN_NAME"));
        }
        same(names, "label");
    }

    static void readOnly(Connection connection) throws Exception {
        connection.setReadOnly(true);
        connection.setAutoCommit(false);
        fails("25006", c -> change(c, "DELETE FROM thing"), connection);
        connection.rollback();
        connection.setReadOnly(false);
        same(value(connection, "SHOW transaction_read_only"), "off");
        connection.rollback();
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> env = System.getenv();
        url = String.format("jdbc:postgresql://%s:%s/%s", env.get("PGHOST"), env.get("PGPORT"),
                            env.get("PGDATABASE"));
        properties = new Properties();
        properties.setProperty("user", env.get("PGUSER"));
        properties.setProperty("password", env.get("PGPASSWORD"));
        copyIn = env.get("COPY_IN").equals("yes");
        Map<String, Check> checks = new LinkedHashMap<>();
        checks.put("insert_select", Checks::insertSelect);
        checks.put("generated_keys", Checks::generatedKeys);
        checks.put("transactions", Checks::transactions);
        checks.put("isolation_level", Checks::isolationLevel);
        checks.put("prepared_1000", Checks::prepared1000);
        checks.put("errors", Checks::errors);
        checks.put("failed_transaction", Checks::failedTransaction);
        checks.put("batch", Checks::batch);
        checks.put("batch_with_error", Checks::batchWithError);
        checks.put("fetch_size", Checks::fetchSize);
        checks.put("copy_out", Checks::copyOut);
        checks.put("copy_in", Checks::copyIn);
        checks.put("large", Checks::large);
        checks.put("cancel", Checks::cancel);
        checks.put("query_timeout", Checks::queryTimeout);
        checks.put("metadata", Checks::metadata);
        checks.put("read_only", Checks::readOnly);
        for (Map.Entry<String, Check> check : checks.entrySet()) {
            try (Connection connection = connect()) {
                check.getValue().run(connection);
                System.out.println("ok " + check.getKey());
            } catch (Throwable error) {
                String text = String.valueOf(error).replace('\n', ' ');
                System.out.println("failed " + check.getKey() + ": " + text + " at "
                    + Arrays.toString(error.getStackTrace()));
            }
        }
    }
}
