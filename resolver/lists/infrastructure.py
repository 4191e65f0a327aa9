"""Names on which everything else stands. Data with reasons; the guard has the rules.

`PROTECTED`: nobody may stop these, nor anything at or below them, and no approval changes that.
`SHARED`: one host name, the content of very many people. Each was or could be the next "correctly delivered" accident
(`drive.usercontent.google.com`, Italy, October 2024); stopping one needs a person at the provider who says so.
"""

from __future__ import annotations

PROTECTED: dict[str, tuple[str, ...]] = {
    "special use (RFC 6761 and its registry)": (
        "alt", "arpa", "home.arpa", "internal", "invalid", "local", "localhost", "onion",
    ),
    "the DNS itself": (
        "gtld-servers.net", "iana.org", "iana-servers.net", "internic.net", "ns.icann.org", "root-servers.net",
        "root-servers.org",
    ),
    "time (RFC 5905; without it no certificate and no signature is valid)": (
        "ntp.org", "ntp.se", "ntp.ubuntu.com", "time.android.com", "time.apple.com", "time.cloudflare.com",
        "time.facebook.com", "time.google.com", "time.nist.gov", "time.windows.com", "ptbtime1.ptb.de",
        "ptbtime2.ptb.de", "ptbtime3.ptb.de",
    ),
    "certificates (RFC 8555, revocation)": (
        "acme-v02.api.letsencrypt.org", "acme.zerossl.com", "crl.sectigo.com", "crl3.digicert.com",
        "crl4.digicert.com", "lencr.org", "letsencrypt.org", "ocsp.apple.com", "ocsp.digicert.com",
        "ocsp.globalsign.com", "ocsp.sectigo.com", "pki.goog",
    ),
    "whether there is a network at all": (
        "captive.apple.com", "connectivity-check.ubuntu.com", "connectivitycheck.gstatic.com",
        "detectportal.firefox.com", "dns.msftncsi.com", "firefox-portal-detection.com", "msftconnecttest.com",
        "network-test.debian.org", "nmcheck.gnome.org",
    ),
    "security updates": (
        "archive.ubuntu.com", "deb.debian.org", "security.debian.org", "security.ubuntu.com", "swcdn.apple.com",
        "update.microsoft.com", "windowsupdate.com",
    ),
}  # fmt: skip

SHARED: tuple[str, ...] = (
    "1drv.ms", "accounts.google.com", "ajax.googleapis.com", "ajax.aspnetcdn.com", "akamaiedge.net", "akamaihd.net",
    "api.github.com", "apple.com", "archive.org", "bitbucket.org", "bunny.net", "cdn.jsdelivr.net",
    "cdnjs.cloudflare.com", "cloudflare.com", "code.jquery.com", "discord.com", "discordapp.com", "docs.google.com",
    "drive.google.com", "drive.usercontent.google.com", "dropbox.com", "dropboxusercontent.com", "edgekey.net",
    "edgesuite.net", "facebook.com", "fastly.net", "fbcdn.net", "fonts.googleapis.com", "fonts.gstatic.com",
    "github.com", "gitlab.com", "google.com", "googleapis.com", "googleusercontent.com", "googlevideo.com",
    "gravatar.com", "gstatic.com", "imgur.com", "instagram.com", "live.com", "mediafire.com", "mega.nz",
    "microsoft.com", "microsoftonline.com", "mooo.com", "mozilla.org", "office.com", "onedrive.live.com", "paypal.com",
    "pinimg.com", "raw.githubusercontent.com", "reddit.com", "s3.amazonaws.com", "sharepoint.com", "sites.google.com",
    "storage.googleapis.com", "telegram.org", "t.me", "twimg.com", "twitter.com", "unpkg.com", "usercontent.goog",
    "web.archive.org", "wetransfer.com", "whatsapp.com", "whatsapp.net", "wikimedia.org", "wikipedia.org",
    "wordpress.com", "wp.com", "x.com", "yahoo.com", "youtube.com", "youtube-nocookie.com", "ytimg.com",
)  # fmt: skip
