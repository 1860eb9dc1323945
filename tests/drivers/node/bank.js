// The application of tests/support/shop.py over node-postgres: a pool, transactions of several named statements.
// Prints "begun NOTE" and "done NOTE" for each transfer, "error CODE MESSAGE" for what went wrong; ends when its
// input does. In its environment: ACCOUNTS, WORKERS and PACE, the milliseconds between two of a worker's transfers.
'use strict';

const { setTimeout } = require('timers/promises');
const pg = require('pg');
const { tenant, unique } = require('./common');

const { ACCOUNTS, WORKERS, PACE } = process.env;
const [accounts, workers, pace] = [ACCOUNTS, WORKERS, PACE].map(Number);
const statements = {
  lock: 'SELECT id FROM account WHERE owner IN ($1, $2) ORDER BY id FOR UPDATE',
  change: 'UPDATE account SET balance = balance + $1::numeric WHERE owner = $2',
  enter: 'INSERT INTO ledger (account_id, amount, note) SELECT id, $1::numeric, $2::text FROM account'
    + ' WHERE owner = $3',
};
let over = false;

function tell(error) {
  console.log(`error ${error.code || ''} ${String(error.message).replace(/\s+/g, ' ')}`);
}

async function transfer(client, source, target, note) {
  const run = (name, values) => client.query({ name, text: statements[name], values });
  await client.query('BEGIN');
  await run('lock', [`owner-${source}`, `owner-${target}`]);
  for (const [account, amount] of [[source, -1], [target, 1]]) {
    await run('change', [amount, `owner-${account}`]);
    await run('enter', [amount, note, `owner-${account}`]);
  }
  await client.query('COMMIT');
}

async function work(pool, number) {
  for (let turn = number; !over; turn += workers) {
    const note = unique('node');
    let client;
    let failed;
    try {
      client = await pool.connect();
      console.log(`begun ${note}`);
      await transfer(client, turn * 7 % accounts, (turn * 7 + 3) % accounts, note);
      console.log(`done ${note}`);
    } catch (error) {
      failed = error;
      tell(error);
    }
    if (client) client.release(failed);
    await setTimeout(pace);
  }
}

async function main() {
  const pool = new pg.Pool({ ...tenant, max: Math.max(2, workers - 1) });
  pool.on('error', tell);
  process.stdin.on('end', () => { over = true; }).resume();
  await Promise.all(Array.from({ length: workers }, (_, number) => work(pool, number)));
  await pool.end();
}

main();
