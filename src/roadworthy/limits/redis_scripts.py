"""What Redis does for limits in one step: answer any number of questions, each of some counters.

Time and quotas are in whole microseconds. What was used of a quota whose units come back evenly is counted in parts: a
unit has as many as the period has microseconds, and each microsecond gives as many back as the quota has units. So all
numbers are whole, and exact up to 2^53.

A counter does not go back in time: if the clock does, time stands still for it until then, for a period at most.
"""

from __future__ import annotations

from roadworthy.redis.script import Script

TAKE = Script(
    """
local call, write, read = redis.call, struct.pack, struct.unpack
local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max
local now, spare, input = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
if now < 0 then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local function lifetime(micros)
  return min(ceil(micros / 1000), 315360000000) + spare
end

-- Of each algorithm: `look` returns what is free, the moment that this is of, and the state then; `take` keeps what is
-- left of it, and returns the new state; `wait` says how long after the moment `cost` units are free; `reset` how long
-- after it all are. They get the key, count, period and capacity first.

local even = {}

function even.look(key, count, period, capacity)
  local used, moment = 0, now
  local state = call('GET', key)
  if state then
    local was, at = read('<dd', state)
    if at <= now then
      used = max(0, was - (now - at) * count)
    elseif at - now <= period then
      used, moment = was, at
    end
  end
  return max(0, floor((capacity * period - used) / period)), moment, used
end

function even.take(key, count, period, capacity, moment, units, used)
  used = used + units * period
  call('SET', key, write('<dd', used, moment), 'PX', lifetime(used / count))
  return used
end

function even.wait(key, count, period, capacity, moment, cost, used)
  return ceil((used + (cost - capacity) * period) / count)
end

function even.reset(key, count, period, capacity, moment, used)
  return ceil(used / count)
end

local fixed = {}

function fixed.look(key, count, period)
  local used, began = 0, now - now % period
  local state = call('GET', key)
  if state then
    local was, at = read('<dd', state)
    if at >= began and at - began <= period then used, began = was, at end
  end
  return max(0, count - used), max(now, began), used, began
end

function fixed.take(key, count, period, capacity, moment, units, used, began)
  used = used + units
  call('SET', key, write('<dd', used, began), 'PX', lifetime(began + period - now))
  return used, began
end

function fixed.wait(key, count, period, capacity, moment, cost, used, began)
  return began + period - moment
end

function fixed.reset(key, count, period, capacity, moment, used, began)
  if used == 0 then return 0 end
  return began + period - moment
end

local sliding = {}

function sliding.look(key, count, period)
  local used, began, before = 0, now - now % period, 0
  local state = call('GET', key)
  if state then
    local was, at, earlier = read('<ddd', state)
    if at >= began and at - began <= period then
      used, began, before = was, at, earlier
    elseif at == began - period then
      before = was
    end
  end
  local moment = max(now, began)
  local left = before * (began + period - moment) / period
  return max(0, floor(count - used - left)), moment, used, began, before
end

function sliding.take(key, count, period, capacity, moment, units, used, began, before)
  used = used + units
  call('SET', key, write('<ddd', used, began, before), 'PX', lifetime(began + 2 * period - now))
  return used, began, before
end

-- How much of a window must have passed until `used` units of the one before count for `room`.
local function passed(used, room, period)
  if used <= room then return 0 end
  return ceil(period * (used - room) / used)
end

function sliding.wait(key, count, period, capacity, moment, cost, used, began, before)
  local room = count - cost
  if used <= room then return began + passed(before, room - used, period) - moment end
  return began + period + passed(used, room, period) - moment
end

function sliding.reset(key, count, period, capacity, moment, used, began, before)
  if used > 0 then return began + 2 * period - moment end
  if before > 0 then return began + period - moment end
  return 0
end

-- A list with the moment of each unit, the oldest first.
local log = {}

function log.look(key, count, period)
  local used, moment = call('LLEN', key), now
  if used == 0 then return count, moment, used end
  local newest = tonumber(call('LINDEX', key, -1))
  if newest <= now - period or newest - now > period then
    call('DEL', key)
    return count, moment, 0
  end
  moment = max(now, newest)
  local over = moment - period
  if tonumber(call('LINDEX', key, 0)) <= over then
    local gone, kept = 0, used - 1
    while kept - gone > 1 do
      local middle = floor((gone + kept) / 2)
      if tonumber(call('LINDEX', key, middle)) <= over then gone = middle else kept = middle end
    end
    call('LTRIM', key, kept, -1)
    used = used - kept
  end
  return max(0, count - used), moment, used
end

function log.take(key, count, period, capacity, moment, units, used)
  local text = string.format('%.0f', moment)
  for first = 1, units, 1000 do
    local texts = {}
    for index = 1, min(1000, units - first + 1) do texts[index] = text end
    call('RPUSH', key, unpack(texts))
  end
  call('PEXPIRE', key, lifetime(period))
  return used + units
end

function log.wait(key, count, period, capacity, moment, cost, used)
  return tonumber(call('LINDEX', key, used + cost - count - 1)) + period - moment
end

function log.reset(key, count, period, capacity, moment, used)
  if used == 0 then return 0 end
  return tonumber(call('LINDEX', key, -1)) + period - moment
end

local algorithms, answers = {even, fixed, sliding, log}, {}

local function answer(granted, cost, algorithm, key, count, period, capacity, free, moment, used, began, earlier)
  local wait = 0
  if granted > 0 then
    used, began, earlier = algorithm.take(key, count, period, capacity, moment, granted, used, began, earlier)
  elseif cost > capacity then
    wait = math.huge
  elseif free < cost then
    wait = algorithm.wait(key, count, period, capacity, moment, cost, used, began, earlier) + moment - now
  end
  local reset = algorithm.reset(key, count, period, capacity, moment, used, began, earlier)
  if reset > 0 then reset = reset + moment - now end
  answers[#answers + 1] = write('<I4I4dd', granted, free - granted, wait, reset)
end

local position, before = 1, 0
while position <= #input do
  local counters, cost, granted, which, count, period, capacity
  counters, cost, granted, position = read('<BI4I4', input, position)
  local found = {}
  for index = before + 1, before + counters do
    which, count, period, capacity, position = read('<Bddd', input, position)
    local algorithm, key = algorithms[which], KEYS[index]
    local free, moment, used, began, earlier = algorithm.look(key, count, period, capacity)
    if free < granted then granted = free >= cost and free or 0 end
    if counters == 1 then
      answer(granted, cost, algorithm, key, count, period, capacity, free, moment, used, began, earlier)
    else
      found[#found + 1] = {algorithm, key, count, period, capacity, free, moment, used, began, earlier}
    end
  end
  for _, one in ipairs(found) do answer(granted, cost, unpack(one, 1, 10)) end
  before = before + counters
end
return table.concat(answers)
"""
)
"""Keys: all counters. Arguments: microseconds of Unix time, negative for the server's; milliseconds to keep what is
over; the questions. Each question is the number of its counters, cost and most; each counter its algorithm, count,
period and capacity. Returns of each counter what was granted and what is left, and when enough and all will be free.
"""
