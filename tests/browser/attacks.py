"""Forty texts and more that mean harm to a page that shows them."""

from __future__ import annotations

from tests.browser.test_report import ATTACKS

FORTY = (
    *ATTACKS,
    "<scr<script>ipt>window.attacked = 7</scr</script>ipt>",
    "<SCRIPT SRC=//example.com/x.js></SCRIPT>",
    "<body onload=window.attacked=8>",
    "<details open ontoggle=window.attacked=9>",
    "<input autofocus onfocus=window.attacked=10>",
    "<video><source onerror=window.attacked=11></video>",
    "<math><mi xlink:href='javascript:window.attacked=12'>x</mi></math>",
    "<object data='javascript:window.attacked=13'></object>",
    "<embed src='data:text/html,<script>parent.attacked=14</script>'>",
    "<form action='https://example.com/'><button>send</button></form>",
    "<link rel=stylesheet href='https://example.com/a.css'>",
    "<template><script>window.attacked = 15</script></template>",
    "</textarea><script>window.attacked = 16</script>",
    "</title><script>window.attacked = 17</script>",
    "</style><script>window.attacked = 18</script>",
    "`${window.attacked = 19}`",
    "'; window.attacked = 20; //",
    '"; window.attacked = 21; //',
    "\\'; window.attacked = 22; //",
    "<!--<script>window.attacked = 23",
    "<![CDATA[<script>window.attacked = 24</script>]]>",
    "&lt;script&gt;window.attacked = 25&lt;/script&gt;",
    "javascript:window.attacked=26",
    "‹b› {{constructor.constructor('window.attacked=27')()}} \u202e reversed",
)
assert len(FORTY) >= 40
