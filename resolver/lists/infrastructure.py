"""Hosts that very many people share. Names that nobody may stop are in `blocklists/admissible.py`.

Each was or could be the next "correctly delivered" accident (`drive.usercontent.google.com`, Italy, October 2024);
stopping one needs a person at the provider who says so.
"""

from __future__ import annotations

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
