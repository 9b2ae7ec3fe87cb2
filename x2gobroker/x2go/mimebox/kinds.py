"""Which files of the MIME box may be opened on the user's machine: a server chooses their names and what is in them.

Three kinds. Documents are opened by programs that show them, and may be opened unless somebody says otherwise.
Programs, and what starts or configures them, never are, whatever is allowed: xdg-open would run some of them, and the
user would run others by a click. All else is opened where its extension is allowed by name. The lists are held against
the shared-mime-info of freedesktop.org, by a test.
"""

from __future__ import annotations

from collections.abc import Sequence

_TEXTS = "txt text log csv tsv md markdown rst tex bib srt vtt json yaml yml ini conf toml diff patch ics vcf eml"
_OFFICE = (
    "pdf ps eps djvu djv epub mobi fb2 rtf odt ott ods ots odp otp odg otg odf odc odb doc dot docx dotx xls xlt "
    "xlsx xltx ppt pps pot pptx ppsx potx abw gnumeric pages numbers key wpd wps xps oxps sxw sxc sxi vsd vsdx "
    "mpp dvi"
)
_PICTURES = (
    "png jpg jpeg jpe jfif gif bmp dib tif tiff webp avif heic heif ico tga pcx ppm pgm pbm pnm xpm xbm psd xcf "
    "kra ora dng cr2 cr3 nef arw orf raf jp2 jxl exr hdr dxf dwg"
)
_MEDIA = (
    "mp3 ogg oga opus flac wav aac m4a wma aif aiff mid midi amr mka mp4 m4v mkv webm avi mov mpg mpeg ogv wmv "
    "flv 3gp mts m2ts ts vob"
)
_ARCHIVES = "zip tar gz tgz bz2 tbz tbz2 xz txz zst 7z rar lz lzma lz4 cpio"
DOCUMENTS = frozenset(" ".join((_TEXTS, _OFFICE, _PICTURES, _MEDIA, _ARCHIVES)).split())

# Python X2Go's list, and what else programs are, start them, or set them up
_PYTHON_X2GO = "lock sys swp exe com cmd ps1 ps2 bat js py pl sh"
_UNIX = (
    "appimage bash bin csh desktop directory elf fish flatpak flatpakref flatpakrepo ksh kcm o out pm run service "
    "socket timer mount automount path target slice scope snap so sharedlib tcsh zsh shar deb udeb rpm apk ipk "
    "pkg dmg iso img kwinscript plasmoid theme knsrc crontab rules policy profile bashrc xsession xinitrc la a ko "
    "raw-disk-image iso9660 cdi 3dsx kdelnk etheme gvy gy gsh ks jceks pack al perl pod spm d di py3 py3x "
    "pyi ss xbl xsd rng xdgapp"
)
_LANGUAGES = (
    "awk class cjs coffee cgi dart ear ebuild elc el es fcgi gambas groovy jar java jnlp jnilib jse jsm ipynb kts "
    "lua luac m mak mk mjs nim php php3 php4 php5 php7 php8 phar phps phtml psgi pyc pyd pyo pyw pyx pyz pyzw pex "
    "r raku rb rbw rhtml sage scm scpt scptd swf t tcl tk tsx jsx ursl vala war whl wasm wsgi xpi crx pth egg gem "
    "qml"
)
_WINDOWS = (
    "acm ad ade adp app application appref-ms appx appxbundle asp aspx asx ax bas bgi chm cnt command cpl crt cer "
    "csproj der diagcab dll drv fon gadget grp hlp hta hlpkey htc inf ins inx isp isu its job lnk mad maf mag mam "
    "maq mar mas mat mau mav maw mcf mda mdb mde mdt mdw mdz mht mhtml msc msh msh1 msh2 mshxml msi msix "
    "msixbundle msp mst msu ocx ops osd paf partial pcd pif plg printerexport prf prg ps1xml ps2xml psc1 psc2 "
    "psd1 psdm1 psm1 pst rdp reg rgs scf scr sct search-ms searchconnector-ms settingcontent-ms shb shs theme "
    "themepack tmp u3p url vb vbe vbp vbs vbscript vhd vhdx vsmacros vsw vxd webloc website webpnp ws wsc wsf wsh "
    "xbap xll xnk xrm-ms jsproj library-ms cdxml iqy oqy rqy slk appinstaller efi lib thmx"
)
_MACROS = (
    "docm dotm xlsm xltm xlsb xlam xla xlm pptm potm ppsm ppam ppa sldm accda accdb accde accdr accdt oxt odm otm "
    "odx wbk xlw"
)
# browsers run what is in these, from the user's own files
_PAGES = "html htm shtml xhtml xht xhtm xml xsl xslt svg svgz mml maff webarchive"
# these open connections, or set up programs that do
_CONNECTIONS = (
    "x2go nxs rdg ica vnc virt-viewer vv ovpn torrent magnet mobileconfig p12 pfx jks keystore remmina tsclient"
)
BLOCKED_EXTENSIONS = frozenset(
    " ".join((_PYTHON_X2GO, _UNIX, _LANGUAGES, _WINDOWS, _MACROS, _PAGES, _CONNECTIONS)).split()
)
# how the text of files without an extension must not begin: they are known by it
STARTERS = (
    b"#!",
    b"[",
    b"<",
    b"\x7fELF",
    b"MZ",
    b"PK",
    b"\xca\xfe\xba\xbe",
    b"%!",
    b"# Config File",
    b"# KDE Config File",
)
# by what shared-mime-info knows a launcher, within the first bytes of it
LAUNCHER_HEADS, LATEST_HEAD = (b"[Desktop Entry]", b"[KDE Desktop Entry]"), 32


def extension_allowed(name: str, allowed: Sequence[str] = ()) -> bool:
    """Whether a file of this name may be opened: its extension is none of BLOCKED_EXTENSIONS and one of `allowed`.

    `allowed` are extensions in any case, with or without their dot, also double ones as in `tar.gz`; none: those of
    DOCUMENTS, and names without an extension.
    """
    lower = name.lower().rstrip(" .")
    extension = lower.rpartition(".")[2] if "." in lower else ""
    if extension in BLOCKED_EXTENSIONS:
        return False
    if not allowed:
        return not extension or extension in DOCUMENTS
    wanted = [each.strip().lower().lstrip(".") for each in allowed]
    return any(each and lower.endswith(f".{each}") for each in wanted)


def is_plain_text(start: bytes) -> bool:
    """Whether a file without an extension that begins so is text that starts nothing.

    The table of shared-mime-info looks for the head of a launcher up to LATEST_HEAD.
    """
    if b"\0" in start or any(mark in start[: LATEST_HEAD + len(mark)] for mark in LAUNCHER_HEADS):
        return False
    return not start.lstrip().startswith(STARTERS)
