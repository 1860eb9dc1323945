// postgres.js: a pool of prepared statements that are pipelined, and of types that it asks for.
'use strict';

const assert = require('assert');
const { pipeline } = require('stream/promises');
const { Readable } = require('stream');
const postgres = require('postgres');
const { LARGE, copyIn, listens, neighbour, rejected, runAll, tenant, unique } = require('./common');

const quiet = { onnotice: () => {} };

const checks = {
  async insert_select(sql) {
    const name = unique('n');
    const [made] = await sql`INSERT INTO thing ${sql({ name, amount: 4.5, body: 'grüße ☂',
      data: Buffer.from([0, 255]) })} RETURNING id, data`;
    assert.deepStrictEqual(made.data, Buffer.from([0, 255]));
    const found = await sql`SELECT name, amount, body FROM thing WHERE id = ${made.id}`;
    assert.deepStrictEqual([...found], [{ name, amount: '4.50', body: 'grüße ☂' }]);
  },

  // Array types are known only if its question at connect (fetch_types) was answered.
  async arrays(sql) {
    await sql`SELECT 1`;
    const [row] = await sql`SELECT ${sql.array(['a', 'b'])}::text[] AS t, '{1,2}'::int[] AS n`;
    assert.deepStrictEqual(row, { t: ['a', 'b'], n: [1, 2] });
  },

  async transactions(sql) {
    const [kept, lost] = [unique('kept'), unique('lost')];
    await sql.begin(async (inside) => {
      await inside`INSERT INTO thing (name) VALUES (${kept})`;
      await rejected(inside.savepoint((deeper) => deeper`
        INSERT INTO thing (name) VALUES (${kept})`), '23505');
    });
    await assert.rejects(sql.begin(async (inside) => {
      await inside`INSERT INTO thing (name) VALUES (${lost})`;
      throw new Error('changed my mind');
    }), /changed my mind/);
    const found = await sql`SELECT name FROM thing WHERE name IN ${sql([kept, lost])}`;
    assert.deepStrictEqual([...found], [{ name: kept }]);
    await sql.begin('isolation level serializable', async (inside) => {
      const [row] = await inside`SHOW transaction_isolation`;
      assert.strictEqual(row.transaction_isolation, 'serializable');
    });
  },

  async prepared_1000(sql) {
    const other = postgres({ ...tenant, ...quiet });
    try {
      for (let i = 0; i < 1000; i++) {
        const [row] = await (i % 2 ? sql : other)`SELECT ${i}::int + 1 AS n`;
        assert.strictEqual(row.n, i + 1);
      }
    } finally {
      await other.end();
    }
  },

  async errors(sql) {
    await rejected(sql`SELEKT`, '42601');
    for (let i = 0; i < 3; i++) {
      await rejected(sql`SELECT 1 / ${0}::int`, '22012');
      await rejected(sql`SELECT * FROM nowhere`, '42P01');
      await rejected(sql`INSERT INTO thing (name) VALUES (${null})`, '23502');
    }
    assert.deepStrictEqual([...await sql`SELECT 1 AS n`], [{ n: 1 }]);
  },

  async failed_transaction(sql) {
    // The first error fails the whole, also one that was caught.
    await rejected(sql.begin(async (inside) => {
      await rejected(inside`SELECT 1/0`, '22012');
      await rejected(inside`SELECT 1`, '25P02');
    }), '22012');
    assert.deepStrictEqual([...await sql`SELECT 1 AS n`], [{ n: 1 }]);
  },

  async several_statements(sql) {
    const results = await sql.unsafe('SELECT 1 AS a; SELECT 2 AS b').simple();
    assert.deepStrictEqual(results.map((rows) => rows[0]), [{ a: 1 }, { b: 2 }]);
  },

  // Up to a hundred in flight on each of ten connections, some of them wrong.
  async pipelined(sql) {
    const asked = [];
    for (let i = 0; i < 600; i++) {
      asked.push(i % 50 === 7 ? rejected(sql`SELECT 1 / ${0}::int`, '22012').then(() => [{ n: i }])
        : sql`SELECT ${i}::int AS n`);
    }
    (await Promise.all(asked)).forEach((rows, i) => assert.strictEqual(rows[0].n, i));
  },

  async batch(sql) {
    const prefix = unique('batch');
    const rows = Array.from({ length: 1000 }, (_, i) => ({ name: `${prefix}${i}`, amount: i }));
    await sql`INSERT INTO thing ${sql(rows)}`;
    const [found] = await sql`SELECT count(*)::int AS n, sum(amount)::int AS sum FROM thing
      WHERE name LIKE ${`${prefix}%`}`;
    assert.deepStrictEqual(found, { n: 1000, sum: 499500 });
  },

  async copy_out(sql) {
    const stream = await sql`COPY (SELECT i FROM generate_series(1, 1000) i) TO STDOUT`.readable();
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    assert.strictEqual(Buffer.concat(chunks).toString().trim().split('\n').length, 1000);
  },

  async copy_in(sql) {
    const prefix = unique('copy');
    const load = async () => pipeline(
      Readable.from(Array.from({ length: 1000 }, (_, i) => `${prefix}${i}\t${i}\n`)),
      await sql`COPY thing (name, amount) FROM STDIN`.writable());
    if (!copyIn) {
      await rejected(load(), '0A000');
      return;
    }
    await load();
    const [found] = await sql`SELECT count(*)::int AS n FROM thing WHERE name LIKE ${`${prefix}%`}`;
    assert.strictEqual(found.n, 1000);
  },

  async large(sql) {
    const [name, body] = [unique('large'), 'n'.repeat(LARGE)];
    const data = Buffer.alloc(LARGE, 7);
    await sql`INSERT INTO thing ${sql({ name, body, data })}`;
    const [found] = await sql`SELECT body, data FROM thing WHERE name = ${name}`;
    assert.ok(found.body === body && found.data.equals(data));
    await sql`DELETE FROM thing WHERE name = ${name}`;
  },

  async cursor(sql) {
    let total = 0;
    for await (const rows of sql`SELECT i FROM generate_series(1, 1000) i`.cursor(90)) {
      total += rows.reduce((sum, row) => sum + row.i, 0);
    }
    assert.strictEqual(total, 500500);
  },

  async cancel(sql) {
    const query = sql`SELECT pg_sleep(60)`;
    const outcome = query.then(() => null, (error) => error);
    const again = setInterval(() => query.cancel(), 100);
    const error = await outcome;
    clearInterval(again);
    assert.strictEqual(error && error.code, '57014');
    for (let i = 0; i < 20; i++) assert.strictEqual((await sql`SELECT ${i}::int AS n`)[0].n, i);
  },

  async query_timeout() {
    const sql = postgres({ ...tenant, ...quiet, connection: { statement_timeout: 300 } });
    await rejected(sql`SELECT pg_sleep(60)`, '57014');
    assert.strictEqual((await sql`SELECT 1 AS n`)[0].n, 1);
    await sql.end();
  },

  async describe(sql) {
    const { columns } = await sql`SELECT label, thing_id FROM part WHERE id = ${1}`.describe();
    assert.deepStrictEqual(columns.map((column) => [column.name, column.type]),
      [['label', 25], ['thing_id', 20]]);
  },

  async metadata(sql) {
    const columns = await sql`SELECT column_name FROM information_schema.columns
      WHERE table_schema = current_schema() AND table_name = 'kind' ORDER BY ordinal_position`;
    assert.deepStrictEqual(columns.map((row) => row.column_name), ['code', 'title']);
  },

  async settings() {
    const zones = ['Asia/Tokyo', 'America/New_York'];
    const pools = zones.map((zone) => postgres({ ...tenant, ...quiet, max: 3,
      connection: { TimeZone: zone, application_name: `app ${zone}` } }));
    const asked = [];
    for (let i = 0; i < 100; i++) {
      asked.push(pools[i % 2]`SELECT current_setting('TimeZone') AS zone,
        current_setting('application_name') AS app`);
    }
    (await Promise.all(asked)).forEach((rows, i) => assert.deepStrictEqual([...rows],
      [{ zone: zones[i % 2], app: `app ${zones[i % 2]}` }]));
    await Promise.all(pools.map((pool) => pool.end()));
  },

  async reserved(sql) {
    const one = await sql.reserve();
    await one`SET work_mem = '7MB'`;
    assert.strictEqual((await one`SHOW work_mem`)[0].work_mem, '7MB');
    one.release();
  },

  async listen(sql) {
    if (!listens) {
      await rejected(sql`LISTEN news`, '0A000');
      await rejected(sql.listen('news', () => {}), '0A000');
      return;
    }
    let hear;
    const heard = new Promise((resolve) => { hear = resolve; });
    await sql.listen('news', hear);
    await sql.notify('news', 'hello');
    assert.strictEqual(await heard, 'hello');
    assert.strictEqual((await sql`SELECT 1 AS n`)[0].n, 1);
  },

  // Everybody writes the same natural key, and reads his own row alone.
  async pools_of_two_tenants() {
    const name = unique('shared');
    const pools = [tenant, neighbour].map((who) => postgres({ ...who, ...quiet }));
    await Promise.all(pools.map((sql, i) => sql`INSERT INTO thing ${sql({ name, body: String(i) })}`));
    const asked = [];
    for (let i = 0; i < 300; i++) {
      asked.push(pools[i % 2]`SELECT body FROM thing WHERE name = ${name}`);
    }
    (await Promise.all(asked)).forEach((rows, i) => assert.deepStrictEqual([...rows],
      [{ body: String(i % 2) }]));
    await Promise.all(pools.map((pool) => pool.end()));
  },
};

runAll(checks, async () => postgres({ ...tenant, ...quiet }), (sql) => sql.end({ timeout: 5 }));
