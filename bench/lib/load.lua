-- The load of one row for wrk, and its result as one line of JSON on standard output.
-- Arguments: the method, the host, and files that hold the body and, for loads over many hosts, their names.
-- No `response` function on purpose: with one, wrk copies every header and body and takes about 2.5 microseconds more a
-- request from the cores that the contestants share. Bodies are checked by a connection of their own (checker.ts).

local requests = nil
local current = 0

function init(args)
  wrk.method = args[1]
  if args[2] ~= "" then wrk.headers["Host"] = args[2] end
  if args[3] ~= "" then
    wrk.headers["Content-Type"] = "application/json"
    wrk.body = io.open(args[3]):read("*a")
  end
  if args[4] then
    requests = {}
    for host in io.lines(args[4]) do
      wrk.headers["Host"] = host
      requests[#requests + 1] = wrk.format()
    end
  else
    requests = { wrk.format() }
  end
end

function request()
  current = current % #requests + 1
  return requests[current]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"durationUs":%d,"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,' ..
      '"p50":%d,"p90":%d,"p99":%d,"max":%d,"mean":%.1f,"cpuUs":%.0f}\n',
    summary.requests, summary.duration, errors.status, errors.connect, errors.read, errors.write, errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max, latency.mean, os.clock() * 1e6
  ))
end
