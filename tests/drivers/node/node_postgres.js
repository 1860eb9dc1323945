// node-postgres: its client, its pool, cursors and COPY streams.
'use strict';

const assert = require('assert');
const { pipeline } = require('stream/promises');
const { Readable, Writable } = require('stream');
const pg = require('pg');
const Cursor = require('pg-cursor');
const copy = require('pg-copy-streams');
const { LARGE, copyIn, listens, neighbour, rejected, runAll, tenant, unique } = require('./common');

const checks = {
  async insert_select(client) {
    const name = unique('n');
    const made = await client.query(
      'INSERT INTO thing (name, amount, data) VALUES ($1, $2, $3) RETURNING id, data',
      [name, 4.5, Buffer.from([0, 255])]);
    assert.deepStrictEqual(made.rows[0].data, Buffer.from([0, 255]));
    const found = await client.query('SELECT name, amount FROM thing WHERE id = $1',
      [made.rows[0].id]);
    assert.deepStrictEqual(found.rows, [{ name, amount: '4.50' }]);
  },

  async transactions(client) {
    const [kept, lost] = [unique('kept'), unique('lost')];
    await client.query('BEGIN');
    await client.query('INSERT INTO thing (name) VALUES ($1)', [kept]);
    await client.query('COMMIT');
    await client.query('BEGIN');
    await client.query('INSERT INTO thing (name) VALUES ($1)', [lost]);
    await client.query('ROLLBACK');
    const found = await client.query('SELECT name FROM thing WHERE name IN ($1, $2)', [kept, lost]);
    assert.deepStrictEqual(found.rows, [{ name: kept }]);
  },

  async prepared_1000(client) {
    const other = new pg.Client(tenant);
    await other.connect();
    try {
      for (let i = 0; i < 1000; i++) {
        const each = i % 2 ? client : other;
        const sum = await each.query({ name: 'plus', text: 'SELECT $1::int + 1 AS n', values: [i] });
        assert.strictEqual(sum.rows[0].n, i + 1);
      }
    } finally {
      await other.end();
    }
  },

  async errors(client) {
    await rejected(client.query('SELEKT'), '42601');
    await rejected(client.query('SELECT 1 / $1::int', [0]), '22012');
    await rejected(client.query({ name: 'bad', text: 'SELECT * FROM nowhere' }), '42P01');
    await rejected(client.query({ name: 'bad', text: 'SELECT * FROM nowhere' }), '42P01');
    await rejected(client.query('INSERT INTO thing (name) VALUES ($1)', [null]), '23502');
    assert.strictEqual((await client.query('SELECT 1 AS n')).rows[0].n, 1);
  },

  async failed_transaction(client) {
    await client.query('BEGIN');
    await rejected(client.query('SELECT 1/0'), '22012');
    await rejected(client.query('SELECT 1'), '25P02');
    await client.query('ROLLBACK');
    assert.strictEqual((await client.query('SELECT 1 AS n')).rows[0].n, 1);
  },

  async several_statements(client) {
    const results = await client.query('SELECT 1 AS a; SELECT 2 AS b');
    assert.deepStrictEqual(results.map((result) => result.rows[0]), [{ a: 1 }, { b: 2 }]);
  },

  async queue(client) {
    const asked = [];
    for (let i = 0; i < 500; i++) asked.push(client.query('SELECT $1::int AS n', [i]));
    const answered = await Promise.all(asked);
    answered.forEach((result, i) => assert.strictEqual(result.rows[0].n, i));
  },

  async copy_out(client) {
    const chunks = [];
    await pipeline(
      client.query(copy.to('COPY (SELECT i FROM generate_series(1, 1000) i) TO STDOUT')),
      new Writable({ write(chunk, _encoding, done) { chunks.push(chunk); done(); } }));
    assert.strictEqual(Buffer.concat(chunks).toString().trim().split('\n').length, 1000);
  },

  async copy_in(client) {
    const prefix = unique('copy');
    const lines = Array.from({ length: 1000 }, (_, i) => `${prefix}${i}\t${i}\n`);
    const load = pipeline(Readable.from(lines),
      client.query(copy.from('COPY thing (name, amount) FROM STDIN')));
    if (!copyIn) {
      const error = await rejected(load, '0A000');
      assert.match(error.hint, /INSERT/);
      return;
    }
    await load;
    const found = await client.query('SELECT count(*)::int AS n FROM thing WHERE name LIKE $1',
      [`${prefix}%`]);
    assert.strictEqual(found.rows[0].n, 1000);
  },

  async large(client) {
    const [name, body] = [unique('large'), 'n'.repeat(LARGE)];
    const data = Buffer.alloc(LARGE, 7);
    await client.query('INSERT INTO thing (name, body, data) VALUES ($1, $2, $3)',
      [name, body, data]);
    const found = await client.query('SELECT body, data FROM thing WHERE name = $1', [name]);
    assert.ok(found.rows[0].body === body);
    assert.ok(found.rows[0].data.equals(data));
    await client.query('DELETE FROM thing WHERE name = $1', [name]);
  },

  async cursor(client) {
    await client.query('BEGIN');
    const cursor = client.query(new Cursor('SELECT i FROM generate_series(1, 1000) i'));
    let total = 0;
    for (let rows = await cursor.read(90); rows.length; rows = await cursor.read(90)) {
      total += rows.reduce((sum, row) => sum + row.i, 0);
    }
    await cursor.close();
    await client.query('COMMIT');
    assert.strictEqual(total, 500500);
  },

  async cancel(client) {
    const query = new pg.Query('SELECT pg_sleep(60)');
    const failed = new Promise((resolve) => {
      query.on('error', resolve);
      query.on('end', () => resolve(null));
    });
    client.query(query);
    let error;
    failed.then((value) => { error = value; });
    const end = Date.now() + 30000;
    while (error === undefined && Date.now() < end) {
      const canceller = new pg.Client(tenant);
      canceller.connection.on('error', () => {});
      canceller.cancel(client, query);
      await Promise.race([failed, new Promise((resolve) => { setTimeout(resolve, 200); })]);
    }
    assert.strictEqual(error && error.code, '57014');
    for (let i = 0; i < 20; i++) {
      assert.strictEqual((await client.query('SELECT $1::int AS n', [i])).rows[0].n, i);
    }
  },

  async pool() {
    const pool = new pg.Pool({ ...tenant, max: 8 });
    const asked = [];
    for (let i = 0; i < 200; i++) asked.push(pool.query('SELECT $1::int AS n', [i]));
    (await Promise.all(asked)).forEach((result, i) => assert.strictEqual(result.rows[0].n, i));
    await pool.end();
  },

  // Everybody writes the same natural key, and reads his own row alone.
  async pools_of_two_tenants() {
    const name = unique('shared');
    const pools = [tenant, neighbour].map((who) => new pg.Pool({ ...who, max: 4 }));
    await Promise.all(pools.map((pool, i) => pool.query(
      'INSERT INTO thing (name, body) VALUES ($1, $2)', [name, String(i)])));
    const asked = [];
    for (let i = 0; i < 200; i++) {
      asked.push(pools[i % 2].query({ name: 'body', text: 'SELECT body FROM thing WHERE name = $1',
        values: [name] }));
    }
    (await Promise.all(asked)).forEach((result, i) => assert.deepStrictEqual(result.rows,
      [{ body: String(i % 2) }]));
    await Promise.all(pools.map((pool) => pool.end()));
  },

  async settings() {
    const zones = ['Asia/Tokyo', 'America/New_York', 'Europe/Berlin'];
    const pools = zones.map((zone) => new pg.Pool({ ...tenant, max: 2,
      options: `-c TimeZone=${zone}`, application_name: `app ${zone}` }));
    const asked = [];
    for (let i = 0; i < 60; i++) {
      asked.push(pools[i % 3].query("SELECT current_setting('TimeZone') AS zone,"
        + " current_setting('application_name') AS app"));
    }
    (await Promise.all(asked)).forEach((result, i) => assert.deepStrictEqual(result.rows,
      [{ zone: zones[i % 3], app: `app ${zones[i % 3]}` }]));
    await Promise.all(pools.map((pool) => pool.end()));
  },

  async query_timeout() {
    const client = new pg.Client({ ...tenant, statement_timeout: 300 });
    await client.connect();
    try {
      await rejected(client.query('SELECT pg_sleep(60)'), '57014');
      assert.strictEqual((await client.query('SELECT 1 AS n')).rows[0].n, 1);
    } finally {
      await client.end();
    }
  },

  async listen(client) {
    if (!listens) {
      await rejected(client.query('LISTEN news'), '0A000');
      return;
    }
    const heard = new Promise((resolve) => { client.on('notification', resolve); });
    const other = await connect();
    await client.query('LISTEN news');
    await other.query("NOTIFY news, 'hello'");
    assert.strictEqual((await heard).payload, 'hello');
    await other.end();
    assert.strictEqual((await client.query('SELECT 1 AS n')).rows[0].n, 1);
  },
};

async function connect() {
  const client = new pg.Client(tenant);
  client.on('error', () => {});
  await client.connect();
  return client;
}

runAll(checks, connect, (client) => client.end());
