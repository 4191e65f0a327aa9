-- PowerDNS Recursor: /etc/powerdns/stopsign.lua, named by lua-config-file in recursor.conf (4.8, Debian 12), or by
-- recursor.yml (5.2 and newer, which reads YAML alone)
-- The key: stopsign rpz key stopsign-powerdns --output /etc/powerdns/stopsign-powerdns.key
local file = assert(io.open("/etc/powerdns/stopsign-powerdns.key"))
local secret = file:read("*a"):match('secret%s+"([^"]+)"')
file:close()

rpzPrimary({"192.0.2.53:5354"}, "rpz.stopsign", {
    tsigname = "stopsign-powerdns",
    tsigalgo = "hmac-sha256",
    tsigsecret = secret,
    -- it asks for changes every so many seconds: 4.8 hears no NOTIFY for policy zones, 5.x acts on every second one
    refresh = 2,
    -- a copy, so that a restart blocks from the first query on
    seedFile = "/var/lib/pdns-recursor/rpz.stopsign.zone",
    dumpFile = "/var/lib/pdns-recursor/rpz.stopsign.zone",
})
