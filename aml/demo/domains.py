"""The five fields of work of the sample agents, with their own components, troubles, errors and code."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from aml.demo.vocabulary import lines, words


@dataclass(frozen=True, slots=True)
class Domain:
    """The words of one field of work."""

    pattern_types: tuple[str, ...]
    frameworks: tuple[str, ...]
    components: tuple[str, ...]
    actions: tuple[str, ...]
    symptoms: tuple[str, ...]
    errors: tuple[tuple[str, str], ...]
    code: tuple[str, ...]
    options: tuple[str, ...]
    tags: tuple[str, ...]
    suffix: str


def _errors(text: str) -> tuple[tuple[str, str], ...]:
    """Pairs of error type and message template, one ``Type: message`` a line."""
    return tuple((kind, message) for kind, _, message in (line.partition(": ") for line in lines(text)))


_FRONTEND = Domain(
    pattern_types=words(
        "react-optimization, error-boundary, form-validation, list-virtualization, code-splitting, state-colocation"
    ),
    frameworks=words("react, vue, svelte, next, solid"),
    components=words(
        """the order list, the checkout form, the search box, the product gallery, the account menu, the date picker,
        the image carousel, the notification drawer, the price table, the route shell, the comment thread, the map
        view, the onboarding wizard, the dashboard grid, the filter sidebar, the rich text editor, the login dialog,
        the seat planner, the upload queue, the theme provider, the review card, the wishlist badge"""
    ),
    actions=words(
        """Memoise, Virtualise, Debounce updates of, Lazy-load, Prefetch the data of, Move the state out of, Render a
        skeleton for, Split the bundle of, Reserve the height of, Derive the props of, Hoist the effects of, Wrap an
        error boundary around, Stream the markup of, Batch the events of"""
    ),
    symptoms=lines(
        """
        re-rendered on every keystroke
        shifted the layout by {n} pixels after the fonts had loaded
        kept a stale closure over the previous props
        lost its focus ring in Safari
        fetched the same page twice because two effects raced
        blocked the main thread for {ms} ms while parsing JSON
        showed yesterday's price until the user reloaded
        leaked a resize listener at each navigation
        mounted {n} hidden rows that nobody scrolled to
        hydrated with other markup than the server had sent
        announced nothing to screen readers when it changed
        dropped the draft when the tab went to sleep
        """
    ),
    errors=_errors(
        """
        TypeError: Cannot read properties of undefined (reading '{noun}{part}')
        HydrationMismatch: server rendered {n} rows of {component}, client expected {count}
        ChunkLoadError: loading chunk {n} of {file} failed after {ms} ms
        RangeError: maximum update depth exceeded in use{Noun}{Part}
        AbortError: the request for {noun} {count} was aborted by a newer one
        InvariantViolation: {Noun}{Part} must be used inside its provider
        """
    ),
    code=lines(
        """
        const {noun}{Part} = useMemo(() => {verb}{Noun}(items, {n}), [items]);
        useEffect(() => {{ const stop = {verb}{Noun}(ref.current, {ms}); return stop; }}, [{noun}Id]);
        const {Noun}{Part} = lazy(() => import('./{noun}/{Noun}{Part}'));
        <{Noun}{Part} key={{{noun}.id}} rows={{{n}}} onChange={{debounce({verb}{Noun}, {ms})}} />
        export const use{Noun} = () => useSyncExternalStore({noun}{Part}.subscribe, {verb}{Noun});
        if (!{noun}{Part}.ready) return <Skeleton rows={{{n}}} label="{noun}" />;
        """
    ),
    options=words(
        """server components, a virtual list, CSS container queries, Zustand, Redux Toolkit, TanStack Query, signals,
        islands architecture, a design token package, Storybook visual tests, module federation, plain context, web
        workers, IndexedDB drafts"""
    ),
    tags=words("react, frontend, perf, a11y, forms, bundle, hydration, css"),
    suffix=".tsx",
)

_BACKEND = Domain(
    pattern_types=words("api-pagination, cache-aside, retry-policy, query-tuning, outbox, idempotency-key, read-model"),
    frameworks=words("fastapi, django, rails, express, spring, axum"),
    components=words(
        """the invoice service, the order endpoint, the pricing engine, the webhook receiver, the session store, the
        customer search, the export job, the ledger writer, the stock reservation, the email outbox, the rate
        limiter, the audit trail, the payment callback, the tenant router, the report query, the address lookup, the
        event consumer, the coupon check, the refund workflow, the import pipeline, the catalogue cache, the
        permission filter"""
    ),
    actions=words(
        """Cache, Paginate, Put an idempotency key on, Make retries safe in, Add a covering index for, Bound the
        queue of, Move the side effects out of, Read from a replica in, Batch the writes of, Put a deadline on,
        Version, Precompute the totals of, Shed load early in, Log the slow path of"""
    ),
    symptoms=lines(
        """
        held its row lock across a network call
        issued {n} queries for one page of results
        retried without jitter and made the outage worse
        acknowledged the message before the commit
        returned totals in floating point and was off by a cent
        scanned {count} rows because the index led with another column
        let a poison message block the whole partition
        kept {n} idle connections and starved its neighbours
        accepted the same callback {n} times
        trusted the page size that the client had asked for
        served a cached answer to the wrong tenant
        ran out of workers {ms} ms after the failover
        """
    ),
    errors=_errors(
        """
        TimeoutError: {Noun}{Part}.{verb} gave no answer within {ms} ms
        DeadlockDetected: process {count} waits for a lock on {noun}_{part} held by process {n}
        UniqueViolation: duplicate key value in {noun}_{part}_key for tenant {n}
        ConnectionPoolExhausted: all {n} connections busy while calling {verb}_{noun}
        ValidationError: field {noun}.{part} must not be longer than {n} characters
        SerializationFailure: could not serialise access to {noun}_{part}, attempt {n}
        """
    ),
    code=lines(
        """
        async with {noun}_{part}.lock(timeout={ms}): await {verb}_{noun}(session, limit={n})
        rows = await db.fetch("select id, {noun}_{part} from {noun}s where id > $1 order by id limit {n}", cursor)
        @retry(attempts={n}, base={ms}, jitter=True, on=(TimeoutError, {Noun}Busy))
        create index concurrently {noun}_{part}_idx on {noun}s (tenant_id, {part}) where {part} is not null;
        {noun} = cache.get(key) or await {verb}_{noun}(key, ttl={ms})
        if seen.add({noun}.{part}): return Response(status=200, replayed=True)
        """
    ),
    options=words(
        """PostgreSQL advisory locks, Redis streams, a transactional outbox, keyset pagination, GraphQL, gRPC, Kafka,
        a nightly batch, read replicas, materialised views, event sourcing, a modular monolith, SQLite per tenant,
        server-sent events"""
    ),
    tags=words("backend, api, sql, cache, queue, latency, idempotency, billing"),
    suffix=".py",
)

_TESTING = Domain(
    pattern_types=words("test-fixture, flaky-isolation, contract-test, golden-file, property-test, page-object"),
    frameworks=words("pytest, playwright, vitest, cypress, junit"),
    components=words(
        """the login journey, the checkout suite, the fixture factory, the browser grid, the snapshot folder, the
        contract suite, the seed script, the clock fixture, the coverage gate, the smoke run, the mutation report,
        the visual diff, the load profile, the mail catcher, the payment stub, the retry plugin, the parallel runner,
        the golden files, the nightly matrix, the device farm, the test database, the flake board"""
    ),
    actions=words(
        """Freeze the clock in, Isolate, Replace the sleep in, Seed, Shard, Quarantine, Record the traffic of, Give
        every worker its own, Shrink the failing case of, Assert on the outcome of, Reset, Name the owner of, Run
        only the changed part of, Keep the artefacts of"""
    ),
    symptoms=lines(
        """
        passed alone and failed in parallel
        waited a fixed {ms} ms instead of for the event
        shared one user among {n} workers
        depended on the order of a set
        failed on the last day of each month
        compared a time zone that the runner did not have
        hid a real defect behind {n} retries
        left {count} rows behind for the next test
        mocked the very call that was broken
        asserted on a sentence that marketing had changed
        needed {n} minutes before the first assertion
        used the network when the stub was not ready
        """
    ),
    errors=_errors(
        """
        AssertionError: expected {n} {noun} rows, found {count}
        TimeoutError: locator '[data-test={noun}-{part}]' not visible after {ms} ms
        FixtureError: {noun}_{part} was torn down while worker {n} still used it
        SnapshotMismatch: {noun}-{part} differs in {count} pixels
        ConnectionRefused: stub for {noun}_{part} was not listening on port {count}
        FlakyTest: test_{verb}_{noun}_{part} passed {n} of {count} runs
        """
    ),
    code=lines(
        """
        @pytest.fixture def {noun}_{part}(tmp_path): return {verb}_{noun}(tmp_path, rows={n})
        await expect(page.getByTestId('{noun}-{part}')).toHaveCount({n}, {{ timeout: {ms} }});
        @given(st.lists({noun}s(), max_size={n})) def test_{verb}_{noun}_keeps_{part}(items): ...
        with freeze("2025-02-28T23:59:{n}Z"): assert {verb}({noun}).{part} == {count}
        vi.spyOn({noun}{Part}, '{verb}').mockResolvedValueOnce({{ {part}: {n} }});
        assert read(golden / "{noun}-{part}.json") == {verb}_{noun}(seed={count})
        """
    ),
    options=words(
        """Playwright, property-based tests, contract tests, recorded cassettes, one database per worker, test
        containers, golden files, mutation testing, a quarantine lane, sharding by duration, fakes instead of mocks,
        a nightly soak, approval tests, preview environments"""
    ),
    tags=words("testing, flaky, ci, fixtures, e2e, coverage, contract, snapshots"),
    suffix="_test.py",
)

_SECURITY = Domain(
    pattern_types=words("input-sanitizing, token-rotation, access-review, secret-scan, rate-limit, threat-model"),
    frameworks=words("oauth, oidc, owasp-asvs, vault, opa"),
    components=words(
        """the token endpoint, the password reset, the upload handler, the admin console, the session cookie, the
        signing key, the redirect check, the webhook signature, the dependency lockfile, the access policy, the API
        gateway, the service account, the audit log, the invite link, the consent screen, the export download, the
        template renderer, the support login, the secret store, the CORS allowlist, the file preview, the TLS ingress"""
    ),
    actions=words(
        """Rotate, Scope, Sign, Rate-limit, Escape the output of, Pin, Revoke, Require step-up login for, Encrypt,
        Deny by default in, Shorten the lifetime of, Validate the input of, Log access to, Separate the duties around"""
    ),
    symptoms=lines(
        """
        accepted a redirect to any host that began with our name
        compared digests in time that depended on the content
        logged the bearer token in {n} places
        kept a key alive for {n} months after its owner had left
        parsed XML with external entities on
        answered differently for unknown accounts, by {ms} ms
        trusted a header that the proxy did not strip
        allowed {count} attempts a minute from one address
        returned a stack trace with the connection string
        granted write where read was asked for
        followed a symbolic link out of the upload folder
        skipped the check for requests with an empty body
        """
    ),
    errors=_errors(
        """
        InvalidSignature: signature of {noun} {count} does not match key {n}
        Forbidden: role {noun}-{part} may not {verb} {component}
        TokenExpired: token for {noun} {count} expired {ms} ms ago
        PolicyViolation: {file} line {count} holds a secret of type {noun}-{part}
        CertificateError: certificate of {noun}-{part} is valid for another host
        CsrfMismatch: missing or stale token in {verb}{Noun}{Part}
        """
    ),
    code=lines(
        """
        if not hmac.compare_digest({verb}_{noun}(body, key), header): raise Forbidden("{noun}-{part}")
        set-cookie: {noun}_{part}=...; HttpOnly; Secure; SameSite=Lax; Max-Age={count}
        allow if {{ input.role == "{noun}-{part}"; input.action == "{verb}"; input.hour < {n} }}
        limiter = SlidingWindow(key=lambda r: r.{noun}_{part}, limit={n}, window_ms={ms})
        vault write transit/keys/{noun}-{part}/rotate min_decryption_version={n}
        {noun} = {Noun}{Part}.model_validate_json(body, strict=True)  # at most {count} bytes
        """
    ),
    options=words(
        """short-lived tokens, mutual TLS, passkeys, an allowlist, envelope encryption, a policy engine, signed URLs,
        hardware keys, a bug bounty, dependency pinning, a web application firewall, break-glass accounts, sandboxed
        previews, per-tenant keys"""
    ),
    tags=words("security, auth, secrets, owasp, audit, tokens, tls, policy"),
    suffix=".rego",
)

_DEVOPS = Domain(
    pattern_types=words("blue-green-deploy, canary-release, log-sampling, autoscaling, backup-drill, image-slimming"),
    frameworks=words("kubernetes, terraform, github-actions, ansible, nomad"),
    components=words(
        """the ingress controller, the build cache, the nightly backup, the canary fleet, the metrics pipeline, the
        node pool, the base image, the release workflow, the state bucket, the log shipper, the DNS zone, the
        migration job, the alert routing, the certificate renewal, the queue autoscaler, the cron runner, the
        artefact registry, the config map, the on-call rota, the staging cluster, the edge cache, the disk quota"""
    ),
    actions=words(
        """Roll out, Drain, Pin the version of, Alert on, Warm up, Snapshot, Autoscale, Put a budget on, Rehearse,
        Sample the logs of, Make the health check of, Roll back, Split the pipeline of, Slim"""
    ),
    symptoms=lines(
        """
        reported healthy before it could serve
        pulled {count} MB at every start
        ran two migrations at once
        filled the disk with {n} days of debug logs
        paged {n} people for one cause
        lost its state lock when the runner was evicted
        scaled down in the middle of a drain
        restored in {n} hours although the goal was one
        cached a failed build for {n} days
        answered from the old region for {ms} ms after the switch
        kept {n} unattached volumes that were paid for
        hit the API quota at minute {n} of each hour
        """
    ),
    errors=_errors(
        """
        OOMKilled: container {noun}-{part} used {count} MiB of {n} MiB
        ImagePullBackOff: {noun}-{part}:{count} not found in the registry
        ENOSPC: no space left on device while writing {file}
        StateLocked: lock for {noun}-{part} is held by run {count}
        ProbeFailed: readiness of {noun}-{part} gave 503 for {ms} ms
        QuotaExceeded: {n} of {n} addresses in use by {noun}-{part}
        """
    ),
    code=lines(
        """
        kubectl rollout status deploy/{noun}-{part} --timeout={n}s || kubectl rollout undo deploy/{noun}-{part}
        resources: {{ requests: {{ cpu: {n}m, memory: {count}Mi }}, limits: {{ memory: {count}Mi }} }}
        lifecycle {{ prevent_destroy = true ignore_changes = [{noun}_{part}, {verb}_{noun}] }}
        - alert: {Noun}{Part}Slow expr: histogram_quantile(0.95, {noun}_{part}_seconds) > {n} for: {n}m
        terminationGracePeriodSeconds: {n} preStop: {{ exec: {{ command: [{verb}-{noun}, --drain={ms}ms] }} }}
        COPY --from=build /src/{noun}/{part} /usr/local/bin/{verb}-{noun}
        """
    ),
    options=words(
        """blue-green deploys, a canary of five percent, Terraform modules, managed Postgres, spot nodes, GitOps, a
        single region with drills, distroless images, OpenTelemetry, feature flags, weekly game days, immutable
        hosts, object storage with versioning, ephemeral runners"""
    ),
    tags=words("devops, ci, deploy, kubernetes, observability, cost, migration, backup"),
    suffix=".yaml",
)

DOMAINS: dict[str, Domain] = {
    "frontend-developer": _FRONTEND,
    "backend-architect": _BACKEND,
    "test-automator": _TESTING,
    "security-auditor": _SECURITY,
    "devops-engineer": _DEVOPS,
}


def domain_of(agent: str) -> Domain:
    """The domain of an agent; an agent of another name always gets the same one of the five."""
    known = DOMAINS.get(agent)
    return known if known is not None else tuple(DOMAINS.values())[zlib.crc32(agent.encode()) % len(DOMAINS)]
