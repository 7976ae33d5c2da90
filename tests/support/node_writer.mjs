// A live agent in Node: npm's proper-lockfile and pako, as the agents' runtime uses them. Same options and same log as
// live_writer.py; AML_TEST_NODE_MODULES names the node_modules folder. A compromised lock is an uncaught error.

import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';

const modules = path.resolve(process.env.AML_TEST_NODE_MODULES);
const require = createRequire(import.meta.url);
const lockfile = require(path.join(modules, 'proper-lockfile'));
const pako = require(path.join(modules, 'pako'));

const { values } = parseArgs({
  options: {
    file: { type: 'string', multiple: true },
    log: { type: 'string' },
    seconds: { type: 'string' },
    pause: { type: 'string' },
    hold: { type: 'string' },
    stale: { type: 'string' },
  },
});
const DAY = 24 * 3600 * 1000;
const staleMs = Number(values.stale) * 1000;
const lockOptions = {
  realpath: false,
  stale: staleMs,
  update: staleMs / 2,
  retries: { retries: 20, factor: 2, minTimeout: 1000, maxTimeout: 2000 },
};

const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

function makePattern(agent, fresh) {
  const created = new Date(Date.now() - (fresh ? 0 : 400 * DAY)).toISOString();
  const lastUsed = new Date(Date.now() - (fresh ? 0 : 300 * DAY)).toISOString();
  return {
    id: randomUUID(),
    agent,
    timestamp: created,
    pattern: {
      type: 'live',
      context: {},
      approach: { technique: 'Append it', rationale: 'It was learned just now: naïve, 学.' },
      conditions: { whenApplicable: [], whenNotApplicable: [] },
    },
    metrics: { successRate: 0.5, executionCount: 5, avgTimeSavedMs: 0, errorPreventionCount: 0 },
    evolution: { created, lastUsed, refinements: 0, confidenceScore: 0.5 },
    tags: [],
    active: true,
  };
}

function append(file, record) {
  const data = fs.existsSync(file) ? fs.readFileSync(file) : Buffer.from('[]');
  const packed = data[0] === 0x1f && data[1] === 0x8b;
  const records = JSON.parse(Buffer.from(packed ? pako.ungzip(data) : data).toString('utf8'));
  if (!Array.isArray(records)) throw new Error(`${file} holds no array`);
  records.push(record);
  const text = JSON.stringify(records, null, 2);
  fs.writeFileSync(`${file}.tmp`, packed ? pako.gzip(text, { level: 1 }) : text);
  fs.renameSync(`${file}.tmp`, file);
}

const end = Date.now() + Number(values.seconds) * 1000;
for (let number = 0; Date.now() < end; number += 1) {
  const file = values.file[number % values.file.length];
  const fresh = Math.floor(number / values.file.length) % 2 === 0;
  const record = makePattern(path.basename(path.dirname(file)), fresh);
  const began = Date.now();
  const release = await lockfile.lock(file, lockOptions);
  const waited = (Date.now() - began) / 1000;
  append(file, record);
  await sleep(Number(values.hold));
  await release();
  fs.appendFileSync(values.log, `${JSON.stringify({ file, fresh, record, waited })}\n`);
  await sleep(Number(values.pause));
}
