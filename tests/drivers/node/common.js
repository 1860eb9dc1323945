// What the checks of every driver for Node.js share. A check's outcome is a line: "ok NAME" or
// "failed NAME: REASON". tests/support/foreign.py says what the environment holds.
'use strict';

const assert = require('assert');
const crypto = require('crypto');

const { env } = process;
const tenant = {
  host: env.PGHOST,
  port: Number(env.PGPORT),
  user: env.PGUSER,
  password: env.PGPASSWORD,
  database: env.PGDATABASE,
};
const neighbour = { ...tenant, user: env.NEIGHBOUR_USER, password: env.NEIGHBOUR_PASSWORD,
  database: env.NEIGHBOUR_DATABASE };

const unique = (prefix) => `${prefix}-${crypto.randomBytes(6).toString('hex')}`;

// The error that a promise must be rejected with; an ORM wraps the driver's own.
async function rejected(promise, code) {
  let thrown;
  try {
    await promise;
  } catch (error) {
    thrown = error.cause || error;
  }
  assert.ok(thrown, `no error ${code}`);
  assert.strictEqual(thrown.code, code, thrown.message);
  return thrown;
}

// Runs each check with what connect() gives.
async function runAll(checks, connect, disconnect) {
  for (const [name, check] of Object.entries(checks)) {
    let client;
    try {
      client = await connect();
      await check(client);
      console.log(`ok ${name}`);
    } catch (thrown) {
      console.log(`failed ${name}: ${String(thrown.stack || thrown).replace(/\s*\n\s*/g, ' | ')}`);
    } finally {
      if (client) await disconnect(client).catch(() => {});
    }
  }
}

module.exports = {
  tenant,
  neighbour,
  unique,
  rejected,
  runAll,
  copyIn: env.COPY_IN === 'yes',
  listens: env.LISTENS === 'yes',
  direct: env.DIRECT === 'yes',
  LARGE: 8 * 1024 * 1024,
};
