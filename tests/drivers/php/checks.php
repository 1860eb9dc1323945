<?php
// PHP's PDO against one tenant. tests/support/foreign.py says what the environment holds, and what is
// printed.
declare(strict_types=1);

const LARGE = 8 * 1024 * 1024;

ini_set('memory_limit', '512M');
$copyIn = getenv('COPY_IN') === 'yes';
$listens = getenv('LISTENS') === 'yes';

function connect(string $who = 'PG', array $options = []): PDO
{
    [$user, $password, $database] = $who === 'PG'
        ? [getenv('PGUSER'), getenv('PGPASSWORD'), getenv('PGDATABASE')]
        : [getenv('NEIGHBOUR_USER'), getenv('NEIGHBOUR_PASSWORD'), getenv('NEIGHBOUR_DATABASE')];
    $dsn = sprintf('pgsql:host=%s;port=%s;dbname=%s', getenv('PGHOST'), getenv('PGPORT'), $database);
    return new PDO($dsn, $user, $password, $options + [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
}

function unique(string $prefix = 'n'): string
{
    return $prefix . '-' . bin2hex(random_bytes(6));
}

function same(mixed $found, mixed $expected): void
{
    if ($found !== $expected) {
        throw new Exception('expected ' . var_export($expected, true) . ', found '
            . var_export($found, true));
    }
}

function fails(string $sqlstate, callable $action): void
{
    try {
        $action();
    } catch (PDOException $error) {
        same($error->errorInfo[0] ?? (string) $error->getCode(), $sqlstate);
        return;
    }
    throw new Exception("no error $sqlstate");
}

function rows(PDO $db, string $sql, array $values = []): array
{
    $statement = $db->prepare($sql);
    $statement->execute($values);
    return $statement->fetchAll(PDO::FETCH_NUM);
}

$checks = [
    'insert_select' => function (PDO $db): void {
        $name = unique();
        $statement = $db->prepare(
            'INSERT INTO thing (name, amount, body, data) VALUES (:name, :amount, :body, :data)');
        $statement->bindValue('name', $name);
        $statement->bindValue('amount', 5, PDO::PARAM_INT);
        $statement->bindValue('body', 'grüße ☂');
        $statement->bindValue('data', "\0\xff", PDO::PARAM_LOB);
        $statement->execute();
        [$row] = rows($db, 'SELECT name, amount, body, data FROM thing WHERE name = ?', [$name]);
        same(stream_get_contents(array_pop($row)), "\0\xff");
        same($row, [$name, '5.00', 'grüße ☂']);
    },

    'transactions' => function (PDO $db): void {
        [$kept, $lost] = [unique('kept'), unique('lost')];
        $insert = $db->prepare('INSERT INTO thing (name) VALUES (?)');
        $db->beginTransaction();
        $insert->execute([$kept]);
        $db->exec('SAVEPOINT here');
        fails('23505', fn () => $insert->execute([$kept]));
        $db->exec('ROLLBACK TO SAVEPOINT here');
        $db->commit();
        $db->beginTransaction();
        $insert->execute([$lost]);
        $db->rollBack();
        same(rows($db, 'SELECT name FROM thing WHERE name IN (?, ?)', [$kept, $lost]), [[$kept]]);
    },

    // Named server-side, pdo_stmt_00000001 in each connection.
    'prepared_1000' => function (PDO $db): void {
        $other = connect();
        $both = array_map(fn (PDO $each) => $each->prepare('SELECT ?::int + 1'), [$db, $other]);
        for ($i = 0; $i < 1000; $i++) {
            $both[$i % 2]->execute([$i]);
            same($both[$i % 2]->fetchColumn(), $i + 1);
        }
    },

    // Each is deallocated by its name when it goes out of scope.
    'many_statements' => function (PDO $db): void {
        for ($i = 0; $i < 100; $i++) {
            same(rows($db, "SELECT ?::int + $i", [1]), [[$i + 1]]);
        }
    },

    'emulated_prepares' => function (PDO $db): void {
        $db->setAttribute(PDO::ATTR_EMULATE_PREPARES, true);
        same(rows($db, 'SELECT ?, 1', ["it's"]), [["it's", 1]]);
        same($db->query('SELECT 1; SELECT 2')->fetchColumn(), 2);
    },

    'errors' => function (PDO $db): void {
        $codes = ['SELEKT' => '42601', 'SELECT 1/0' => '22012', 'TABLE nowhere' => '42P01',
            'INSERT INTO thing (name) VALUES (NULL)' => '23502'];
        foreach ($codes as $sql => $code) {
            fails($code, fn () => $db->query($sql));
            fails($code, fn () => rows($db, $sql));
            same(rows($db, 'SELECT 1'), [[1]]);
        }
    },

    'failed_transaction' => function (PDO $db): void {
        $db->beginTransaction();
        fails('22012', fn () => $db->query('SELECT 1/0'));
        fails('25P02', fn () => $db->query('SELECT 1'));
        $db->rollBack();
        same(rows($db, 'SELECT 1'), [[1]]);
    },

    'copy_out' => function (PDO $db): void {
        $name = unique('copy');
        $db->exec("INSERT INTO thing (name, body) SELECT '$name' || i, i FROM generate_series(1, 300) i");
        $lines = $db->pgsqlCopyToArray(
            "(SELECT body FROM thing WHERE name LIKE '$name%' ORDER BY body::int)");
        same(array_map('intval', $lines), range(1, 300));
    },

    'copy_in' => function (PDO $db) use ($copyIn): void {
        $prefix = unique('copy');
        $lines = array_map(fn (int $i) => "$prefix$i\t$i", range(1, 1000));
        $load = fn () => $db->pgsqlCopyFromArray('thing', $lines, "\t", '\\\\N', 'name, amount');
        $copyIn ? $load() : fails('0A000', $load);
        same(rows($db, 'SELECT count(*) FROM thing WHERE name LIKE ?', ["$prefix%"]),
            [[$copyIn ? 1000 : 0]]);
    },

    'large' => function (PDO $db): void {
        [$name, $body] = [unique('large'), str_repeat('p', LARGE)];
        rows($db, 'INSERT INTO thing (name, body) VALUES (?, ?)', [$name, $body]);
        [[$found]] = rows($db, 'SELECT body FROM thing WHERE name = ?', [$name]);
        same($found === $body, true);
        rows($db, 'DELETE FROM thing WHERE name = ?', [$name]);
    },

    'scrollable_cursor' => function (PDO $db): void {
        $db->beginTransaction();
        $statement = $db->prepare('SELECT i FROM generate_series(1, 1000) i',
            [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
        $statement->execute();
        same($statement->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_LAST), [1000]);
        same($statement->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_ABS, 500), [500]);
        $statement = null;
        $db->commit();
    },

    'query_timeout' => function (PDO $db): void {
        $db->exec("SET statement_timeout = '300ms'");
        fails('57014', fn () => $db->query('SELECT pg_sleep(60)'));
        same(rows($db, 'SHOW statement_timeout'), [['300ms']]);
    },

    'metadata' => function (PDO $db): void {
        $statement = $db->query('SELECT code, title FROM kind LIMIT 1');
        $column = $statement->getColumnMeta(0);
        same([$column['name'], $column['native_type'], $column['table']], ['code', 'text', 'kind']);
    },

    // lastval() is the server session's: the same one for sure within a transaction alone.
    'last_insert_id' => function (PDO $db): void {
        $name = unique();
        $db->beginTransaction();
        rows($db, 'INSERT INTO thing (name) VALUES (?)', [$name]);
        $id = $db->lastInsertId();
        $db->commit();
        same(rows($db, 'SELECT name FROM thing WHERE id = ?', [$id]), [[$name]]);
    },

    'settings' => function (): void {
        $zones = ['Asia/Tokyo', 'America/New_York', 'Europe/Berlin'];
        $clients = array_map(function (string $zone): PDO {
            $db = connect();
            $db->exec("SET TIME ZONE '$zone'");
            return $db;
        }, $zones);
        for ($i = 0; $i < 30; $i++) {
            same(rows($clients[$i % 3], 'SHOW TimeZone'), [[$zones[$i % 3]]]);
        }
    },

    'listen' => function (PDO $db) use ($listens): void {
        if ($listens) {
            $db->exec('LISTEN news');
            connect()->exec("NOTIFY news, 'hello'");
            same($db->pgsqlGetNotify(PDO::FETCH_ASSOC, 20000)['payload'], 'hello');
        } else {
            fails('0A000', fn () => $db->exec('LISTEN news'));
            fails('0A000', fn () => rows($db, 'LISTEN news'));
        }
        same(rows($db, 'SELECT 1'), [[1]]);
    },

    // PHP's own pool: persistent connections, of either tenant; each reads his own row alone.
    'persistent_of_two_tenants' => function (): void {
        $name = unique('shared');
        foreach (['PG', 'NEIGHBOUR'] as $who) {
            rows(connect($who), 'INSERT INTO thing (name, body) VALUES (?, ?)', [$name, $who]);
        }
        for ($i = 0; $i < 50; $i++) {
            foreach (['PG', 'NEIGHBOUR'] as $who) {
                $db = connect($who, [PDO::ATTR_PERSISTENT => true]);
                same(rows($db, 'SELECT body FROM thing WHERE name = ?', [$name]), [[$who]]);
                $db = null;
            }
        }
    },
];

foreach ($checks as $name => $check) {
    try {
        $check(connect());
        echo "ok $name\n";
    } catch (Throwable $error) {
        echo "failed $name: ", preg_replace('/\s*\n\s*/', ' | ', (string) $error), "\n";
    }
}
