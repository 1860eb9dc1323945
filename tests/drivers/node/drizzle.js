// Drizzle over node-postgres or postgres.js, which it is told by its first argument.
'use strict';

const assert = require('assert');
const { and, asc, count, eq, like, relations, sql } = require('drizzle-orm');
const { bigint, numeric, pgTable, text, timestamp } = require('drizzle-orm/pg-core');
const { direct, neighbour, rejected, runAll, tenant, unique } = require('./common');

const id = { mode: 'number' };
const thing = pgTable('thing', {
  id: bigint('id', id).primaryKey().generatedByDefaultAsIdentity(),
  ...(direct ? {} : { tenantId: bigint('tenant_id', id) }),
  name: text('name').notNull(),
  amount: numeric('amount').notNull().default('0'),
  body: text('body'),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
});
const part = pgTable('part', {
  id: bigint('id', id).primaryKey().generatedByDefaultAsIdentity(),
  thingId: bigint('thing_id', id).notNull(),
  label: text('label').notNull(),
});
const schema = {
  thing,
  part,
  parts: relations(thing, ({ many }) => ({ parts: many(part) })),
  whole: relations(part, ({ one }) => ({
    thing: one(thing, { fields: [part.thingId], references: [thing.id] }),
  })),
};

const overs = {
  'node-postgres': (who) => {
    const { Pool } = require('pg');
    const pool = new Pool(who);
    return { db: require('drizzle-orm/node-postgres').drizzle(pool, { schema }),
      end: () => pool.end() };
  },
  'postgres-js': (who) => {
    const client = require('postgres')({ ...who, onnotice: () => {} });
    return { db: require('drizzle-orm/postgres-js').drizzle(client, { schema }),
      end: () => client.end({ timeout: 5 }) };
  },
};
const open = overs[process.argv[2]];

const checks = {
  async insert_select({ db }) {
    const name = unique('n');
    const [made] = await db.insert(thing).values({ name, amount: '4.5', body: 'grüße ☂' })
      .returning();
    assert.ok(made.createdAt instanceof Date);
    const found = await db.select({ name: thing.name, amount: thing.amount, body: thing.body })
      .from(thing).where(eq(thing.id, made.id));
    assert.deepStrictEqual(found, [{ name, amount: '4.50', body: 'grüße ☂' }]);
    await db.update(thing).set({ body: 'new' }).where(eq(thing.id, made.id));
    const gone = await db.delete(thing).where(eq(thing.name, name)).returning({ body: thing.body });
    assert.deepStrictEqual(gone, [{ body: 'new' }]);
  },

  async transactions({ db }) {
    const [kept, lost] = [unique('kept'), unique('lost')];
    await db.transaction(async (outer) => {
      await outer.insert(thing).values({ name: kept });
      await rejected(outer.transaction((inner) => inner.insert(thing).values({ name: kept })),
        '23505');
    });
    await assert.rejects(db.transaction(async (outer) => {
      await outer.insert(thing).values({ name: lost });
      outer.rollback();
    }));
    const found = await db.select({ name: thing.name }).from(thing)
      .where(sql`${thing.name} IN (${kept}, ${lost})`);
    assert.deepStrictEqual(found, [{ name: kept }]);
    await rejected(db.transaction((inside) => inside.insert(thing).values({ name: lost }),
      { isolationLevel: 'repeatable read', accessMode: 'read only' }), '25006');
  },

  async prepared_500({ db }) {
    const name = unique('n');
    await db.insert(thing).values({ name, body: 'x' });
    const byName = db.select({ body: thing.body }).from(thing)
      .where(eq(thing.name, sql.placeholder('name'))).prepare('by_name');
    for (let i = 0; i < 500; i++) {
      assert.deepStrictEqual(await byName.execute({ name: i % 2 ? name : '-' }),
        i % 2 ? [{ body: 'x' }] : []);
    }
  },

  async errors({ db }) {
    await rejected(db.execute(sql`SELEKT`), '42601');
    await rejected(db.insert(thing).values({ name: unique('n'), amount: '-1' }), '23514');
    await rejected(db.insert(part).values({ thingId: -1, label: 'x' }), '23503');
    assert.strictEqual((await db.select({ n: count() }).from(part).where(eq(part.id, -1)))[0].n, 0);
  },

  async batch({ db }) {
    const prefix = unique('batch');
    const rows = Array.from({ length: 1000 }, (_, i) => ({ name: `${prefix}${i}`, amount: `${i}` }));
    await db.insert(thing).values(rows);
    assert.deepStrictEqual(await db.select({ n: count(), sum: sql`sum(amount)::int` }).from(thing)
      .where(like(thing.name, `${prefix}%`)), [{ n: 1000, sum: 499500 }]);
  },

  // The keys of a shaped service have tenant_id as well, and so has what an upsert names.
  async upsert({ db }) {
    const name = unique('n');
    const put = (target, body) => db.insert(thing).values({ name, body })
      .onConflictDoUpdate({ target, set: { body: sql`excluded.body` } });
    if (!direct) {
      const error = await rejected(put(thing.name, 'one'), '42P10');
      assert.match(error.hint, /tenant_id/);
    }
    const target = direct ? thing.name : [thing.tenantId, thing.name];
    await put(target, 'one');
    await put(target, 'two');
    assert.deepStrictEqual(await db.select({ body: thing.body }).from(thing)
      .where(eq(thing.name, name)), [{ body: 'two' }]);
  },

  // One statement with lateral joins and json_build_array.
  async relational({ db }) {
    const name = unique('n');
    const [made] = await db.insert(thing).values({ name }).returning();
    await db.insert(part).values(['a', 'b'].map((label) => ({ thingId: made.id, label })));
    const found = await db.query.thing.findFirst({ where: eq(thing.name, name),
      with: { parts: { columns: { label: true }, orderBy: asc(part.label) } } });
    assert.deepStrictEqual(found.parts, [{ label: 'a' }, { label: 'b' }]);
    const joined = await db.select({ label: part.label }).from(part)
      .innerJoin(thing, and(eq(thing.id, part.thingId), eq(thing.name, name)))
      .orderBy(part.label);
    assert.deepStrictEqual(joined, [{ label: 'a' }, { label: 'b' }]);
  },

  // Everybody writes the same natural key, and reads his own row alone.
  async pools_of_two_tenants() {
    const name = unique('shared');
    const both = [tenant, neighbour].map(open);
    await Promise.all(both.map(({ db }, i) => db.insert(thing).values({ name, body: String(i) })));
    const asked = [];
    for (let i = 0; i < 200; i++) {
      asked.push(both[i % 2].db.select({ body: thing.body }).from(thing)
        .where(eq(thing.name, name)));
    }
    (await Promise.all(asked)).forEach((rows, i) => assert.deepStrictEqual(rows,
      [{ body: String(i % 2) }]));
    await Promise.all(both.map((each) => each.end()));
  },
};

runAll(checks, async () => open(tenant), (each) => each.end());
