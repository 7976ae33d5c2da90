"""Phrases of any field of work, from which the sample records are made.

A phrase may hold slots such as ``{component}`` or ``{ms}``; ``aml.demo.text`` fills them. Predicates are in the past
tense and components carry their article, so that any of them can be put together.
"""

from __future__ import annotations


def lines(text: str) -> tuple[str, ...]:
    """The lines of a block, stripped, without the empty ones."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def words(text: str) -> tuple[str, ...]:
    """The phrases of a block that are separated by commas."""
    return tuple(" ".join(phrase.split()) for phrase in text.split(",") if phrase.strip())


MANNERS = words(
    """behind a feature flag, once per request, with a bounded queue, before the first paint, outside the
    transaction, in batches of {n}, after {ms} ms of silence, per tenant, on the server side, with a circuit breaker,
    only for signed-in users, at build time, with a fallback to the old path, in a background worker, one region at a
    time, and measure it again, under a lock with a deadline, for the top {n} customers, as early as the router, with
    plain SQL, in one pass, by content hash, with exponential backoff, and keep the old name as an alias, at the
    edge, without a new dependency, from a read-only snapshot, next to the code that uses it, when the queue holds
    over {count}, through the existing adapter"""
)

CIRCUMSTANCES = words(
    """when two deploys overlapped, during the nightly import, as soon as the cache was cold, on slow connections,
    after the session had been renewed, with more than {count} rows, on the first request of the day, while a replica
    lagged, for accounts older than {n} months, in the German locale, when the clock jumped, under the spring
    campaign, after {n} minutes of idling, on ARM runners, when the upstream answered 429, in private windows, at
    month end, with two tabs open, behind the corporate proxy, after a failed migration, on the smallest instances,
    whenever a worker restarted, for empty results, at {n} requests a second, with debug logging on, when a field was
    null, during failover, in time zones ahead of UTC"""
)

FINDINGS = lines(
    """
    The simpler change came first and held for {n} weeks.
    Support tickets about it fell from {count} to {n} a month.
    A profile showed {n} % of the time in {verb}{Noun}.
    The first attempt only moved the cost to {component}.
    Two reviewers reproduced it with the script in {file}.
    It costs {n} MB of memory and saves {ms} ms a call.
    We kept the old path for {n} days and compared both.
    The vendor confirmed the limit of {count} and will not lift it.
    Nothing else depends on the order, checked in {file}.
    The error rate went from {n} in a thousand to zero.
    {metric} at the 95th percentile went from {count} to {n}.
    Without it {component} broke within {n} days.
    """
)

EVIDENCE = lines(
    """
    Seen {count} times in {n} days, first in {hash} at {file}:{n}.
    Runs took {ms}, {ms}, {ms} and {ms} ms; {verb}{Noun}{Part} had {n} % of it.
    {Noun}{Part} and {verb}{Noun} disagreed on {count} of {count} {adj} {things}, see {hash}.
    Trace {hash}{hash} shows {ms} ms in {verb}{Noun} and {ms} ms in {noun}.{verb}.
    Fixed by {hash} in {file}, {n} lines; {count} {adj} {things} were repaired.
    Build {count} ({hash}) was good, build {count} ({hash}) was not.
    {adj} {things}: {count}, {adj} {things}: {count}, both from {noun}-{part}-{n}.
    Bisected to {hash}: {verb}{Noun} called {verb}{Part} with {n} instead of {count}.
    """
)

STEPS = lines(
    """
    Reproduce it with {count} {things} in {place}
    Add a test to {file} that fails without the change
    Measure {metric} before and after with {n} {things}
    Roll out to {n} % of {audience}, then wait {n} hours
    Watch {metric} in {place} until the curve is flat
    Write the limit of {count} {things} into {file}
    Tell {audience} about the new default
    Remove {verb}{Noun}{Part} once no caller is left
    Guard {component} with a switch named {noun}-{part}
    Copy {count} {things} from {place} and replay them
    Ask {audience} about {metric} in {place}
    Compare {metric} with the week before in {place}
    Make {verb}{Noun} take a deadline of {ms} ms
    Delete the workaround in {file}
    """
)

APPLICABLE = lines(
    """
    more than {count} {things} at once
    {metric} above {n} for {n} minutes
    a caller that cannot wait {ms} ms
    {component} shared with {audience}
    changes to {component} that touch {file}
    {things} that arrive in bursts of {count}
    {place} after a release of {component}
    {audience} on slow links
    """
)

NOT_APPLICABLE = lines(
    """
    fewer than {n} {things}
    one-off scripts for {audience}
    {things} that must be exact to the second
    {place}, where {metric} never grew
    {component} in read-only mode
    prototypes that live under {n} days
    {things} that {audience} write by hand
    """
)

QUESTIONS = lines(
    """
    Which technology should carry {component} for the next {n} months?
    Do we split {component} before {audience} depend on it?
    Where should the validation of {noun} {part} live?
    How do we roll back {component} within {n} minutes?
    How do we keep {metric} under {count} for {component}?
    Should {audience} see {things} while {component} is stale?
    What replaces {component} at {count} {things}?
    Who owns {component} between releases?
    How long do we keep {things} of {component}?
    """
)

LESSONS = lines(
    """
    Agree on {metric} with {audience} before the first commit
    {component} was the harder half, plan {n} days for it
    A spike of {n} hours would have shown the limit of {count}
    Migrate {things} first, then {component}
    Keep {file} small enough to read in one sitting
    The default of {ms} ms suits {place} and nothing else
    {audience} noticed the change only when {metric} doubled
    Write the rollback before the rollout, it was needed after {n} days
    Do not let {component} and {things} share a deadline
    """
)

FACTORS = words(
    """time to first release, cost below {count} a month, known by the team, works offline, easy to roll back,
    {metric} under load, no vendor lock-in, licence terms, small bundle, audit requirements, strong typing, on-call
    load for {audience}, support until next year, migration effort of {n} days, data stays in the region, can be
    tested without a network"""
)

DECISION_TYPES = words("architecture, library, process, technology, tooling")
TEAMS = words("checkout, search, identity, billing, platform, mobile, growth, data, content, logistics")
METRICS = words(
    """latency, the error rate, memory per worker, time to interactive, queue depth, cache misses, bytes on the wire,
    open connections, the retry count, build minutes, the conversion rate, disk usage, lock waits, cold starts, CPU
    steal"""
)
THINGS = words(
    """orders, sessions, log lines, image variants, invoices, test cases, tokens, rows, webhooks, feature flags,
    uploads, search terms, price rules, snapshots, messages, audit events, templates, addresses, coupons, exports"""
)
AUDIENCES = words(
    """internal users, the support team, new customers, resellers, the on-call engineer, beta testers, mobile
    clients, the data team, partners, auditors, the mobile crew, first-time visitors"""
)
PLACES = words(
    """staging, the canary region, a local container, production, the load test, the preview branch, the EU region,
    the nightly build, the sandbox account, the read replica"""
)
ADJECTIVES = words(
    """stale, nested, shared, pending, partial, signed, cached, legacy, hidden, bulk, nightly, regional, archived,
    private, public, external, internal, primary, secondary, temporary, pinned, orphaned, delayed, duplicate,
    encrypted, empty, global, idle, inactive, incremental, inherited, inline, isolated, large, lazy, linked, local,
    locked, manual, merged, missing, mobile, monthly, mutable, open, optional, outdated, paged, parallel, paused,
    preloaded, queued, raw, recent, remote, sampled, scheduled, sorted, sparse, static, tagged, throttled, truncated,
    unread, unused, urgent, verified, virtual, weekly"""
)
NOUNS = words(
    """order, cart, session, invoice, tenant, token, price, stock, parcel, coupon, refund, report, search, address,
    account, image, comment, filter, route, theme, draft, upload, event, ledger, payment, profile, review, seat,
    voucher, webhook, policy, secret, digest, batch, cursor, quota, region, schema, shard, widget, locale, banner,
    ticket, device, audience, courier, depot, tariff, currency, contract, vendor, shipment, basket, referral, bonus,
    wallet, payout, dispute, grant, lease, segment, campaign, survey, article, chapter, playlist, caption, thumbnail,
    palette, gesture, shortcut, tooltip, calendar, meeting, roster, shift, branch, commit, artefact, release,
    incident, alert, metric, trace, span, sampler, beacon, sensor, gateway, tunnel, resolver, zone, volume, mount,
    bucket, replica, quorum, epoch, nonce, cipher, badge"""
)
PARTS = words(
    """cache, loader, queue, index, store, guard, batch, view, key, state, buffer, policy, page, total, lock, window,
    digest, limit, audit, cursor, status, adapter, ledger, counter, summary, probe, owner, version, retry, mapper,
    stream, worker, handler, router, parser, scope, pool, backlog, journal, manifest, preview, checkpoint, snapshot,
    facet, sorter, merger, planner, reader, writer, header, footer, template, registry, sweeper, throttle, broker,
    outbox, inbox, timer, topic"""
)
VERBS = words(
    """load, merge, build, check, flush, apply, parse, resolve, sync, drain, seal, split, rank, trim, hash, fetch,
    store, render, expire, rotate, collect, replay, verify, publish, reserve, cancel, assign, archive, balance,
    claim, clone, compact, convert, count, decode, delay, detach, dispatch, encode, enrich, escape, evict, expand,
    export, fold, freeze, group, hydrate, import, inspect, join, label, list, map, mask, migrate, move, normalise,
    notify"""
)
