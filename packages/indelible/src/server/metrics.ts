/** Counters of a server, for Prometheus. Labels name routes and statuses, never tenants' contents or persons. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Metrics } from './service.ts'

/** @param gauges read when they are asked for */
export function createMetrics(gauges: { readonly openLogs: () => number }): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const counters = {
    requests: new Counter({
      name: 'indelible_requests_total',
      help: 'Requests by route and status',
      labelNames: ['route', 'status'],
      registers,
    }),
    events: new Counter({ name: 'indelible_events_total', help: 'Events made durable', registers }),
    duplicates: new Counter({ name: 'indelible_duplicates_total', help: 'Events that the log had already', registers }),
    refused: new Counter({ name: 'indelible_refused_total', help: 'Events refused', registers }),
    sign_in_failures: new Counter({ name: 'indelible_sign_in_failures_total', help: 'Failed sign-ins', registers }),
    verify_failures: new Counter({
      name: 'indelible_verify_failures_total',
      help: 'Verifications that failed',
      registers,
    }),
    alerts: new Counter({ name: 'indelible_alerts_total', help: 'Alerts by kind', labelNames: ['kind'], registers }),
    write_failures: new Counter({ name: 'indelible_write_failures_total', help: 'Appends that failed', registers }),
  }
  const seconds = new Histogram({
    name: 'indelible_request_seconds',
    help: 'Time to answer, by route',
    labelNames: ['route'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers,
  })
  new Gauge({
    name: 'indelible_open_logs',
    help: 'Logs that are open',
    registers,
    collect() {
      this.set(gauges.openLogs())
    },
  })
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Memory of the process, as Prometheus names it',
    registers,
    collect() {
      this.set(process.memoryUsage.rss())
    },
  })
  return {
    count(name, labels, by = 1) {
      if (name === 'requests') counters.requests.inc(labels, by)
      else if (name === 'alerts') counters.alerts.inc(labels, by)
      else counters[name].inc(by)
    },
    observe(_, labels, value) {
      seconds.observe(labels, value)
    },
    text: () => registry.metrics(),
  }
}
