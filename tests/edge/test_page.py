"""The policy of a page that carries everything it needs."""

import base64
import hashlib

from holdfast.edge.page import content_security_policy


def sha256(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_names_exactly_the_inline_parts():
    policy = content_security_policy("<style>p{}</style>\n<script>let 가 = 1;\n</script><script>2</script>")
    assert f"style-src {sha256('p{}')};" in policy
    assert f"script-src {sha256('let 가 = 1;' + chr(10))} {sha256('2')};" in policy
    assert policy.startswith("default-src 'none'; connect-src 'self'")
    assert "unsafe" not in policy


def test_a_page_without_inline_parts_may_run_nothing():
    policy = content_security_policy("<p>hello</p>")
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
