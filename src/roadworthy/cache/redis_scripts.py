"""What Redis does for the cache in one step: compare stamps, keep, and tell every node.

Stamps are compared as two numbers of 32 bits: Lua compares text by the locale that the server was started in, and has
no whole numbers beyond 53 bits. A change in a message is its action, its stamp, the length of its name and its name.

A full server refuses a script that would grow it, if that is the script's first write. So an invalidation, which is
small and must not fail, begins with a write that grows nothing.
"""

from __future__ import annotations

from roadworthy.redis.script import Script

_COMMON = """
local function is_later(one, other)
  local high, low = struct.unpack('>I4I4', one)
  local other_high, other_low = struct.unpack('>I4I4', other)
  return high > other_high or (high == other_high and low > other_low)
end

local function server_stamp()
  local now = redis.call('TIME')
  local shifted = (tonumber(now[1]) * 1000000 + tonumber(now[2])) * 4096
  return struct.pack('>I4I4', math.floor(shifted / 4294967296), shifted % 4294967296)
end

local function change(action, stamp, name)
  return action .. stamp .. struct.pack('>I4', #name) .. name
end

local changes, problem = {}, nil
local channel, sender, prefix = ARGV[1], ARGV[2], tonumber(ARGV[3])

local function tell()
  if #changes > 0 then redis.call('PUBLISH', channel, sender .. table.concat(changes)) end
end
"""

WRITE = Script(
    _COMMON
    + """
local function has_later(key, stamp)
  local there = redis.pcall('GETRANGE', key, 2, 9)
  return type(there) == 'string' and #there == 8 and is_later(there, stamp)
end

local epoch = redis.pcall('GET', KEYS[1])
if type(epoch) ~= 'string' or #epoch ~= 8 then
  epoch = server_stamp()
  redis.pcall('SET', KEYS[1], epoch)
end

local kept, refused = {}, {}
for index = 1, #KEYS - 1 do
  local key = KEYS[index + 1]
  local action, lifetime, record = ARGV[3 * index + 1], ARGV[3 * index + 2], ARGV[3 * index + 3]
  local stamp = string.sub(record, 3, 10)
  if has_later(key, stamp) or (action == 's' and not is_later(stamp, epoch)) then
    kept[index] = 0
  else
    if action == 'd' then redis.pcall('DEL', key) end
    local answer = redis.pcall('SET', key, record, 'PX', lifetime)
    if answer.err then
      problem = answer
      refused[key] = stamp
    end
    kept[index] = 1
    changes[#changes + 1] = change(action, stamp, string.sub(key, prefix))
  end
end
for key, stamp in pairs(refused) do
  if not has_later(key, stamp) then redis.pcall('DEL', key) end
end
tell()
return problem or kept
"""
)
"""Keys: the epoch, records. Arguments: channel, sender, where names begin; of each its action, milliseconds, record.

What was loaded before the epoch, when the server was found empty, may have been invalidated without a trace.
"""

EPOCH = Script(
    _COMMON
    + """
local epoch = server_stamp()
if redis.call('SET', KEYS[1], epoch, 'NX') then return 1 end
return 0
"""
)
"""Key: the epoch. Returns 1 where it began just now."""

INVALIDATE = Script(
    _COMMON
    + """
local lifetime, stamp = tonumber(ARGV[4]), ARGV[5]
if stamp == '' then stamp = server_stamp() end
for index, key in ipairs(KEYS) do
  local newest, there = stamp, redis.pcall('GET', key)
  if type(there) == 'string' and #there == 8 and is_later(there, stamp) then newest = there end
  local kept_for = string.format('%.0f', math.max(lifetime, redis.call('PTTL', key)))
  redis.pcall('PEXPIRE', key, kept_for)
  local answer = redis.pcall('SET', key, newest, 'PX', kept_for)
  if answer.err then problem = answer end
  changes[index] = change('t', newest, string.sub(key, prefix))
end
tell()
return problem or stamp
"""
)
"""Keys: tags. Arguments: channel, sender, where names begin in keys, milliseconds, stamp or nothing for now."""

ACQUIRE = Script(
    """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
)
"""Key: the lock. Arguments: token, milliseconds."""

RELEASE = Script(
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
)
"""Key: the lock. Argument: token."""
